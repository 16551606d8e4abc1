//! The long-running programs of the node, such as containerd.
//!
//! [`definition`] says what a service is, [`requests`] what people want of it, [`status`] how it is.

pub mod definition;
pub mod requests;
pub mod status;

pub use definition::Service;
pub use requests::{Requests, Unknown};
pub use status::{ServiceHealth, ServiceState, ServiceStatus};
