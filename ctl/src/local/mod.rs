//! Local clusters: nodes without machines of their own, for development and for a first look.
//!
//! [`plan`] decides names and addresses, without effects. [`provisioner`] is what a provisioner does, [`podman`] the one that
//! runs nodes as containers, and [`qemu`] the one that runs them as virtual machines. [`record`] is what is remembered of a
//! cluster between two commands.

mod image_builder;
pub mod plan;
pub mod podman;
pub mod provisioner;
pub mod qemu;
pub mod record;
