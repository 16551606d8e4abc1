//! What the node knows of its cluster's network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use machine_config::value::IpPrefix;
use serde::{Deserialize, Serialize};

use crate::Resource;

/// A node of the cluster, as the cluster knows it. Owned by the controller `cluster-nodes`; named by the node. It stays while
/// the API is away, and over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterNode {
    /// Its own addresses, best first.
    pub addresses: Vec<IpAddr>,
    /// The networks of its pods: one of each family of the cluster, and none before the cluster has given it some.
    pub pods: Vec<IpPrefix>,
    /// Its public key in the mesh between nodes, in base64; none without a mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_key: Option<String>,
}

impl Resource for ClusterNode {
    const KIND: &'static str = "ClusterNode";
}

/// The API servers of the cluster, as they say themselves. Owned by the controller `cluster-nodes`; one, named `node`. It stays
/// while the API is away, and over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiServers {
    /// Where each of them listens, in order.
    pub addresses: Vec<SocketAddr>,
}

impl Resource for ApiServers {
    const KIND: &'static str = "ApiServers";
}

/// The network of the node's pods. Owned by the controller `pod-network`; one, named `node`. There is none where the machine
/// config has no Kubernetes, or `cluster.network.cni` is `none`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodNetworkStatus {
    /// The networks that the node's pods have their addresses in.
    pub pods: Vec<IpPrefix>,
    /// How many networks of other nodes' pods there are routes to.
    pub routes: u32,
    /// What is missing before pods can start, one sentence; none if nothing is.
    pub waits_for: Option<String>,
    /// What cannot be reached, one sentence each.
    pub problems: Vec<String>,
}

impl Resource for PodNetworkStatus {
    const KIND: &'static str = "PodNetworkStatus";
}

/// The node's end of the encrypted mesh between nodes. Owned by the controller `mesh`; one, named `node`. There is none without
/// `cluster.network.mesh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshStatus {
    /// Its interface.
    pub interface: String,
    /// Its public key, in base64, which its Node object names to the others.
    pub public_key: String,
    /// The nodes at the other ends, and where each of them is.
    pub peers: BTreeMap<String, SocketAddr>,
}

impl Resource for MeshStatus {
    const KIND: &'static str = "MeshStatus";
}

/// The cluster's virtual address, as this control plane sees it. Owned by the controller `virtual-ip`; one, named `node`, on
/// control planes whose machine config has `cluster.virtualIP`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualIpStatus {
    /// The address.
    pub address: IpAddr,
    /// The node that has it, where it is known.
    pub holder: Option<String>,
    /// Set when this node has it.
    pub here: bool,
    /// Why this node cannot have it, one sentence; none if it could.
    pub problem: Option<String>,
}

impl Resource for VirtualIpStatus {
    const KIND: &'static str = "VirtualIpStatus";
}

/// The API servers that the node's own requests go to. Owned by the controller `api-balancer`; one, named `node`, on members of
/// a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiBalancerStatus {
    /// Where the node's components find it: `ADDRESS:PORT`.
    pub listens: String,
    /// The servers, the preferred ones first.
    pub servers: Vec<BalancedServer>,
}

impl Resource for ApiBalancerStatus {
    const KIND: &'static str = "ApiBalancerStatus";
}

/// An API server behind the balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BalancedServer {
    /// Where it is: `HOST:PORT`.
    pub address: String,
    /// How it is.
    pub health: ServerHealth,
}

/// How an API server is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum ServerHealth {
    /// Nobody has asked it yet.
    #[default]
    Unknown,
    /// It is ready for requests.
    Ready,
    /// It answers, and is not ready.
    NotReady {
        /// Why, as it says.
        reason: String,
    },
    /// It cannot be reached.
    Down {
        /// Why.
        reason: String,
    },
}
