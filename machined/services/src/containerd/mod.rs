//! What machined does with containerd once it runs: it imports the container images that came with the system, so
//! that a pod starts with no registry and no internet.
//!
//! [`archive`] reads an OCI image archive, [`import`] decides what containerd lacks and hands it over, [`client`] is
//! the real containerd. [`cri`] checks whether it could start a pod. Before each of its starts [`store`] checks what it
//! keeps, and replaces a damaged store. No image is built, changed or pulled here.

mod archive;
mod client;
mod controller;
mod cri;
mod import;
mod store;
#[cfg(test)]
mod testing;

pub use archive::{Archive, ArchiveError, Blob, Image};
pub use client::Containerd;
pub use controller::OfflineImages;
pub use cri::ready;
pub use import::{ImageStore, Imported, import};
pub use store::StoreRepair;

/// The service's name.
pub const SERVICE: &str = "containerd";
/// The folder in which containerd keeps what it has, as its config says.
pub const ROOT: &str = "/var/lib/containerd";
/// The folder for stores that were damaged.
pub const ASIDE: &str = "/var/lib/containerd.aside";
/// The socket that containerd's API listens on.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The containerd namespace that the container runtime interface, and so the kubelet, uses.
pub const NAMESPACE: &str = "k8s.io";
