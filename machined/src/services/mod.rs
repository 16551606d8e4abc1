//! The long-running programs of the node, such as containerd.
//!
//! The crate `service-definition` says what a service is, [`requests`] what people want of it, [`status`] how it is.
//! [`machine`] and [`around`] decide, without doing anything.

pub mod around;
pub mod machine;
pub mod requests;
pub mod status;

pub use requests::{Requests, Unknown};
pub use service_definition::{Definition, Definitions, Service, check};
pub use status::{ServiceHealth, ServiceState, ServiceStatus};
