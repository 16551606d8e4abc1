//! What machined does with containerd once it runs: it imports the container images that came with the system, so
//! that a pod starts with no registry and no internet.
//!
//! The crate `containerd` is its client. Before each of its starts [`store`] checks what it keeps, and replaces a damaged
//! store. No image is built, changed or pulled here.

mod controller;
mod store;

pub use ::containerd::{NodeContainers, SERVICE, SOCKET, ready};
pub use controller::OfflineImages;
pub use store::StoreRepair;

/// The folder in which containerd keeps what it has, as its config says.
pub const ROOT: &str = "/var/lib/containerd";
/// The folder for stores that were damaged.
pub const ASIDE: &str = "/var/lib/containerd.aside";
