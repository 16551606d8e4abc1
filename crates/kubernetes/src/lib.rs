//! What etcd and each component of Kubernetes are started with, by version.
//!
//! Takes a cluster and a node, gives programs with their arguments, the files they read, the certificates they need and where
//! their health is asked for. Never starts, writes or signs anything: callers do.
//!
//! In reading order: [`version`] and [`release`] are the table of what each version needs (`versions.yaml`), the only place where
//! versions differ. [`cluster`], [`node`] and [`tuning`] are what goes in, and [`config`] reads it from a machine config. [`arguments`] is a command line that holds no flag which its version lacks; [`identity`] lists the
//! certificates, [`kubeconfig`] the files that use them. A module per component makes a [`Component`] of it all, and [`plan`] says
//! which of them a node runs.

pub mod arguments;
pub mod cluster;
pub mod component;
pub mod config;
pub mod control_plane;
pub mod identity;
pub mod kubeconfig;
pub mod node;
pub mod plan;
pub mod release;
pub mod tuning;
pub mod version;

mod apiserver;
mod changes;
mod controller_manager;
mod error;
mod etcd;
mod kubelet;
mod merge;
mod proxy;
mod scheduler;
mod settings;

pub use cluster::Cluster;
pub use component::{Component, File, Health, Kind};
pub use control_plane::ControlPlane;
pub use error::Error;
pub use identity::{Identity, Signer};
pub use node::{Layout, Node, NodeName, Ports};
pub use plan::plan;
pub use release::{EtcdRelease, Release};
pub use version::{Minor, Version};
