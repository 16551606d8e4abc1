//! What machined does with containerd once it runs: it gives it the container images that came with the system, so
//! that a pod starts with no registry and no internet.
//!
//! [`archive`] reads an OCI image archive, [`import`] decides what containerd lacks and hands it over, [`client`] is
//! the real containerd. [`cri`] asks whether it could start a pod. No image is built, changed or pulled here.

mod archive;
mod client;
mod controller;
mod cri;
mod import;
mod status;
#[cfg(test)]
mod testing;

pub use archive::{Archive, ArchiveError, Blob, Image};
pub use client::Containerd;
pub use controller::OfflineImages;
pub use cri::ready;
pub use import::{ImageStore, Imported, import};
pub use status::ImageStatus;

/// The socket that containerd's API listens on.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The containerd namespace that the container runtime interface, and so the kubelet, uses.
pub const NAMESPACE: &str = "k8s.io";
