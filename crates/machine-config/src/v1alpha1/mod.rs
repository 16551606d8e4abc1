//! Version `bedplate.dev/v1alpha1`.
//!
//! [`types`], `cluster`, `kubernetes`, `health`, `firmware`, `upgrades`, `registries`, `workloads`, `workload_network`,
//! `limits` and `lifecycle` are what users write,
//! `decode` reads it and holds its rules.

mod cluster;
mod decode;
mod defaults;
mod firmware;
mod health;
mod kubernetes;
mod lifecycle;
mod limits;
mod registries;
mod types;
mod upgrades;
mod workload_network;
mod workloads;

pub use cluster::{Cluster, ClusterDiscovery, ClusterNetwork, ClusterSecrets, Cni, Mesh, Proxy};
pub(crate) use decode::{Marks, decode};
pub use firmware::{Firmware, FirmwareUpgrade};
pub use health::{Check, Health};
pub use kubernetes::{
    AdmissionPlugin, ApiServer, ComponentSettings, Etcd, EtcdSnapshots, ExtraArgs, FeatureGates, Kubelet,
    Manifest,
};
pub use lifecycle::{HttpCheck, RestartPolicy, StopSignal, WorkloadHealth};
pub use limits::{Seccomp, WorkloadLogs, WorkloadResources};
pub use registries::Registry;
pub use types::*;
pub use upgrades::{Day, RolloutFeed, Upgrades, Window};
pub use workload_network::{NetworkMode, PortProtocol, PublishedPort, WorkloadNetwork};
pub use workloads::{Tmpfs, Workload, WorkloadDevice, WorkloadImage, WorkloadMount, WorkloadSecret};

/// What stands under `apiVersion` in a document of this version.
pub const API_VERSION: &str = "bedplate.dev/v1alpha1";
/// What stands under `kind`.
pub const KIND: &str = "MachineConfig";
