//! The long-running programs of the node, such as containerd.
//!
//! The crate `service-definition` defines what a service is. A node runs those of its image, and those that controllers
//! want: a controller writes a [`ServiceSpec`](state::kinds::ServiceSpec), and never starts a program itself.
//!
//! ```text
//! let mut service = Service::new("etcd", ["/usr/bin/etcd", "--config-file", &file_path("etcd", "etcd.yaml")]);
//! service.after = vec!["containerd".into()];
//! let spec = ServiceSpec::new(service)
//!     .with_file("etcd.yaml", settings)
//!     .with_secret("server.key", key);
//! store.replace(self.name(), vec![("etcd".into(), spec)])?;   // outputs: shared_outputs() names ServiceSpec::KIND
//! ```
//!
//! A spec that changes takes effect by itself: the service is restarted when its command, environment, rights, limits or
//! files differ from what runs, and left alone when only its order, health check or policies do. Files marked `reloads` are
//! replaced while it runs. A spec that is removed stops the service, after those that depend on it, and forgets it. A spec
//! that is not valid is shown as the status of its service, and the last valid one stays in effect. It may depend on
//! services that are not there yet: it waits for them.
//!
//! [`catalogue`], [`order`], [`dependencies`], [`machine`] and [`describe`] decide, without doing anything. A [`host`] does
//! what they say, in a [`cgroup`] for each service. The [`Supervisor`] brings them together: a director for all services,
//! and a task for each. The [`ServicesHandle`] shows them to the API.

pub mod catalogue;
pub mod cgroup;
pub mod containerd;
pub mod dependencies;
pub mod describe;
mod director;
mod first_checks;
mod handle;
pub mod host;
pub mod machine;
pub mod order;
pub mod rights;
mod shared;
mod supervisor;
mod task;
#[cfg(test)]
mod testing;
pub mod writes;

pub use handle::ServicesHandle;
pub use host::{BeforeStart, LinuxHost, PreparedHost};
pub use service_definition::{Definition, Definitions, Service, check};
pub use supervisor::Supervisor;
