//! Local clusters: nodes without machines of their own, for development and for a first look.
//!
//! [`plan`] decides names and addresses, without effects. [`provisioner`] is what a provisioner does, and [`podman`] the
//! one that runs nodes as containers. [`record`] is what is remembered of a cluster between two commands.

pub mod plan;
pub mod podman;
pub mod provisioner;
pub mod record;
