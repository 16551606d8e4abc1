//! The status of workloads: containers that the node runs by itself.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use machine_config::value::IpPrefix;
use serde::{Deserialize, Serialize};

use crate::Resource;

/// The status of one workload. Owned by `workloads`; named by the workload. What its process does is the `ServiceStatus` of
/// its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadStatus {
    /// The name of its service, and of its log.
    pub service: String,
    /// How far it has come with its image.
    pub stage: WorkloadStage,
    /// The image that the config wants.
    pub image: String,
    /// The image that it runs, or will run when its service starts.
    pub runs: Option<String>,
    /// The digest of the manifest of the image that it runs.
    pub digest: Option<String>,
    /// What is wrong with it: one sentence.
    pub problem: Option<String>,
}

impl Resource for WorkloadStatus {
    const KIND: &'static str = "WorkloadStatus";
}

/// How far a workload has come with the image that its config wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkloadStage {
    /// The image is being fetched. The one before, if any, runs meanwhile.
    Fetching,
    /// It runs the image, and has not been healthy with it yet.
    Trial,
    /// It runs the image, and was healthy with it.
    Committed,
    /// It was not healthy with the image in time, and runs the one before.
    RolledBack,
}

/// The network of workloads on the bridge. Owned by `workload-network`; one, named `node`, while a workload is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadNetworkStatus {
    /// The network. Its first address is the node's.
    pub subnet: IpPrefix,
    /// The address of each workload, by its name.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// What is wrong with it: one sentence. The workloads wait for it.
    pub problem: Option<String>,
}

impl Resource for WorkloadNetworkStatus {
    const KIND: &'static str = "WorkloadNetworkStatus";
}
