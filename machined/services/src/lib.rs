//! The long-running programs of the node, such as containerd.
//!
//! The crate `service-definition` says what a service is, [`requests`] what people want of it, [`status`] how it is.
//! [`machine`], [`around`], [`order`] and [`describe`] decide, without doing anything. A [`host`] does what they say,
//! in a [`cgroup`] for each service. The [`Supervisor`] brings them together, one task per service, and the
//! [`ServicesHandle`] shows them to the API.

pub mod around;
pub mod cgroup;
pub mod containerd;
pub mod describe;
mod handle;
pub mod host;
pub mod machine;
pub mod order;
pub mod rights;
mod supervisor;
mod task;
#[cfg(test)]
mod testing;

pub use handle::ServicesHandle;
pub use host::{BeforeStart, LinuxHost, PreparedHost};
pub use service_definition::{Definition, Definitions, Service, check};
pub use supervisor::Supervisor;
