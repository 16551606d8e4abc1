//! Runs a node's part of a Kubernetes cluster: so far, the decisions of a control plane.
//!
//! [`Credentials`] holds the certificates of a node's components, and renews them in time. [`spec`] makes the service of a
//! component. Which components there are, and how they are started, is the crate `kubernetes`'s to say. No I/O here: a
//! controller writes the specs, and the services do the rest.

mod credentials;
mod limits;
mod spec;

pub use credentials::{Authorities, Credentials, Error};
pub use limits::memory;
pub use spec::{Missing, spec};
