//! Containers that a node runs by itself, without Kubernetes.
//!
//! A workload is a service like any other: its program is `machined workload run`, which runs one container in the
//! foreground, so that the supervisor's restarts, order, health checks, logs and events are its own, too.
//!
//! [`trial`] decides which image a workload runs, [`plan`] makes its service, [`oci`] what the runtime is told, [`image`] and
//! [`registry`] read what comes from outside; none of them does anything. [`source`] and [`pull`] bring images into
//! containerd, [`devices`] finds devices, [`controller`] and [`runner`] carry it out. Nothing here restarts a container or
//! keeps its log.

pub mod controller;
pub mod devices;
pub mod image;
pub mod oci;
pub mod plan;
mod program;
pub mod pull;
pub mod registry;
pub mod runner;
pub mod settings;
pub mod source;
pub mod trial;

pub use controller::Workloads;
pub use program::{asked_for, main};
