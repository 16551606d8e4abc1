//! The node as its cluster knows it.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// The node as its cluster knows it. Owned by the controller `kubernetes-node`; one, named `node`. There is none while the machine
/// config has no Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesNodeStatus {
    /// Set when kubelet has said since the node started that it is Ready.
    pub ready: bool,
    /// Set when it was Ready once in this cluster, perhaps before it was rebooted.
    pub was_ready: bool,
    /// Why it is not Ready, one sentence; none when it is.
    pub problem: Option<String>,
    /// Set when no new pods come to it.
    pub cordoned: bool,
}

impl Resource for KubernetesNodeStatus {
    const KIND: &'static str = "KubernetesNodeStatus";
}

/// A node of the cluster, as a control plane sees it. Owned by the controller `kubernetes-node`, on control planes only; named by
/// the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterNodeStatus {
    /// Set on a control plane.
    pub control_plane: bool,
    /// Why it is not Ready, one sentence; none when it is.
    pub problem: Option<String>,
    /// Set when no new pods come to it.
    pub cordoned: bool,
    /// The version of its kubelet; empty as long as it has not reported.
    pub version: String,
}

impl Resource for ClusterNodeStatus {
    const KIND: &'static str = "ClusterNodeStatus";
}
