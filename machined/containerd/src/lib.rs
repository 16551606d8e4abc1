//! A client of containerd: what holds images, and runs containers of them.
//!
//! [`archive`] reads an OCI image archive, [`import`] decides what containerd lacks of it and hands it over, [`client`] is
//! the real containerd, within one of its namespaces, and [`run`] its containers. [`list`] lists those of every namespace.
//! [`cri`] checks whether it could start a pod. Nothing is decided here about which images there should be, or what runs.

mod archive;
mod client;
mod cri;
mod import;
mod list;
mod run;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use archive::{Archive, ArchiveError, Blob, Image};
pub use client::{Containerd, Source};
pub use cri::ready;
pub use import::{ImageStore, Imported, import, references};
pub use list::NodeContainers;
pub use run::{Layer, StoredImage};

/// The service's name.
pub const SERVICE: &str = "containerd";
/// The socket that containerd's API listens on.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The namespace that the container runtime interface, and so the kubelet, uses.
pub const KUBERNETES: &str = "k8s.io";
/// The namespace of workloads: no kubelet lists, or removes, what is in it.
pub const WORKLOADS: &str = "bedplate";
