//! Containers that a node runs by itself, without Kubernetes.
//!
//! A workload is a service like any other: its program is `machined workload run`, which runs one container in the
//! foreground, so that the supervisor's restarts, order, health checks, logs and events are its own, too.
//!
//! [`trial`] decides which image a workload runs, [`plan`] makes its service, [`oci`] and [`seccomp`] what the runtime is told, [`image`] reads what
//! comes from outside, as the crate `oci-image` does; none of them does anything. [`source`], [`pull`] and
//! `fetching` bring images into containerd, [`devices`] finds devices, [`network`] keeps the bridge, [`controller`] and [`runner`]
//! carry it out. `handle` and `stored` answer the API, with what [`usage`] reads. Nothing here restarts a container or keeps its log.

pub mod controller;
pub mod devices;
mod fetching;
mod handle;
pub mod image;
pub mod network;
pub mod oci;
pub mod plan;
mod program;
pub mod pull;
mod room;
pub mod runner;
pub mod seccomp;
pub mod settings;
pub mod source;
mod stored;
pub mod trial;
pub mod usage;

pub use controller::Workloads;
pub use handle::WorkloadsHandle;
pub use network::bridge::LinuxBridge;
pub use network::controller::WorkloadNetwork;
pub use program::{asked_for, main};
pub use stored::{ImagesHandle, sweep_incoming};
