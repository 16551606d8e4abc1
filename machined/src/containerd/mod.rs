//! What machined does with containerd once it runs: it gives it the container images that came with the system, so
//! that a pod starts with no registry and no internet.
//!
//! [`archive`] reads an OCI image archive, [`import`] decides what containerd lacks and hands it over, [`client`] is
//! the real containerd. No image is built, changed or pulled here.

mod archive;
mod client;
mod controller;
mod import;
mod status;

pub use archive::{Archive, ArchiveError, Blob, Image};
pub use client::Containerd;
pub use controller::OfflineImages;
pub use import::{ImageStore, Imported, import};
pub use status::ImageStatus;

/// The socket that containerd's API listens on.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The containerd namespace that the container runtime interface, and so the kubelet, uses.
pub const NAMESPACE: &str = "k8s.io";
