//! The node's part in a Kubernetes cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use machine_config::Secret;
use machine_config::value::IpPrefix;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Resource;

/// The node as a member of its cluster: what the machine config, its host name and its addresses make of it. Owned by the
/// controller `cluster-member`; one, named `node`. There is none while the machine config has no Kubernetes, or something
/// is missing, which [`ClusterStatus`] then names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterMember {
    /// The name of the cluster.
    pub cluster: String,
    /// The name of the node, as Kubernetes knows it.
    pub node: String,
    /// Set on a control plane.
    pub control_plane: bool,
    /// The node's own addresses: one of each family of the cluster, never a virtual one, or one of pods or services.
    pub addresses: Vec<IpAddr>,
    /// Where clients outside of the cluster reach the API server: `https://HOST:PORT`.
    pub endpoint: String,
    /// Where this node reaches the API server, by its own balancer: `https://HOST:PORT`.
    pub api: String,
    /// The networks of pods.
    pub pods: Vec<IpPrefix>,
    /// The networks of services.
    pub services: Vec<IpPrefix>,
    /// The addresses of the cluster's DNS.
    pub dns: Vec<IpAddr>,
    /// The domain of the cluster's DNS.
    pub domain: String,
    /// The version of Kubernetes in the image.
    pub kubernetes: String,
    /// The version of etcd in the image; none on a worker.
    pub etcd: Option<String>,
}

impl Resource for ClusterMember {
    const KIND: &'static str = "ClusterMember";
}

/// How far the node is as a member of its cluster. Owned by the controller `cluster-services`; one, named `node`. There is
/// none while the machine config has no Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterStatus {
    /// What the node waits for before it can run its components, one sentence; none if nothing is missing.
    pub waits_for: Option<String>,
}

impl Resource for ClusterStatus {
    const KIND: &'static str = "ClusterStatus";
}

/// How the node's etcd is to start. Owned by the controller `etcd-membership`; one, named `node`, on control planes only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdMembership {
    /// How it is to start.
    pub start: EtcdStart,
    /// What it waits for, one sentence; none if nothing is missing.
    pub waits_for: Option<String>,
}

impl Resource for EtcdMembership {
    const KIND: &'static str = "EtcdMembership";
}

/// How the node's etcd is to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EtcdStart {
    /// Not yet: nobody has bootstrapped the cluster, or the others have not added the node yet.
    NotYet,
    /// As the first member of a new cluster.
    First,
    /// As one of these members, which have added it; or it has data already, and the list does not matter.
    Joins(Vec<EtcdPeer>),
}

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdPeer {
    /// The name of its node.
    pub name: String,
    /// The address of its node.
    pub address: IpAddr,
}

/// Another node that says it is of the same cluster, found on the local network or told by one that is. Named by its node.
/// The kind is shared: each way of finding nodes has its own.
///
/// It is no proof: whoever connects to the node verifies its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPeer {
    /// The name of the node, as Kubernetes knows it.
    pub node: String,
    /// Set on a control plane.
    pub control_plane: bool,
    /// Its own addresses, best first.
    pub addresses: Vec<IpAddr>,
}

impl Resource for ClusterPeer {
    const KIND: &'static str = "ClusterPeer";
    const SHARED: bool = true;
}

/// As whom the node is found on its local networks. Owned by the controller `discovery`; one, named `node`. There is none while
/// it is switched off, or no interface leads anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiscoveryStatus {
    /// The names that it has, by interface: `NAME.local`.
    pub names: BTreeMap<String, String>,
}

impl Resource for DiscoveryStatus {
    const KIND: &'static str = "DiscoveryStatus";
}

/// How far a worker is with its certificates, which a control plane signs. Owned by the controller `cluster-join`; one, named
/// `node`, on workers only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinStatus {
    /// The name or address of the control plane that signed last; none if none has.
    pub control_plane: Option<String>,
    /// Last moment at which all its certificates are valid, in seconds since 1970; none if it has none.
    pub valid_until: Option<u64>,
    /// What it waits for, or why it was refused, with the way out, one sentence; none if nothing is missing.
    pub waits_for: Option<String>,
}

impl Resource for JoinStatus {
    const KIND: &'static str = "JoinStatus";
}

/// The members of etcd, as the node's own saw them last. Owned by the controller `etcd-membership`; one, named `node`, while
/// the node's own votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdStatus {
    /// Every voting member but the node's own.
    pub others: Vec<EtcdVoter>,
}

impl Resource for EtcdStatus {
    const KIND: &'static str = "EtcdStatus";
}

impl EtcdStatus {
    /// Returns why etcd would lose its quorum without this node; none if it would not, or if there are no other members.
    pub fn quorum_objection(&self) -> Option<String> {
        let all = self.others.len() + 1;
        let silent: Vec<&str> = self
            .others
            .iter()
            .filter(|other| !other.answers)
            .map(|other| other.name.as_str())
            .collect();
        let left = self.others.len() - silent.len();
        (all > 1 && left < all / 2 + 1).then(|| match silent.is_empty() {
            true => format!("etcd has {all} voting members, and loses its quorum while one of them is away; add another control plane"),
            false => format!("etcd would lose its quorum: {} does not answer", silent.join(" and ")),
        })
    }
}

/// A voting member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdVoter {
    /// The name of its node.
    pub name: String,
    /// Set when it answered.
    pub answers: bool,
}

/// A member of the cluster's etcd, as a control plane sees it. Owned by the controller `etcd-membership`; one for each, named
/// by its node, on control planes whose etcd runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdMemberStatus {
    /// Set on the leader.
    pub leader: bool,
    /// Set while it does not vote yet.
    pub learner: bool,
    /// What is wrong with it, one sentence; none if nothing is.
    pub problem: Option<String>,
}

impl Resource for EtcdMemberStatus {
    const KIND: &'static str = "EtcdMemberStatus";
}

/// How fast the disk of etcd is. Owned by the controller `etcd-disk`; one, named `node`, on control planes only. It is
/// measured once in each boot, before etcd starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdDisk {
    /// The 99th percentile of the time that a flush takes, in microseconds.
    pub flush_micros: u64,
    /// What is wrong with it, one sentence; none if it is fast enough.
    pub problem: Option<String>,
}

impl Resource for EtcdDisk {
    const KIND: &'static str = "EtcdDisk";
}

/// The snapshots of etcd that a control plane keeps on DATA. Owned by the controller `etcd-snapshots`; one, named `node`, on
/// control planes that take some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdSnapshotStatus {
    /// The name of the newest; none if there is none yet.
    pub newest: Option<String>,
    /// How many are kept.
    pub count: u32,
    /// Why none could be taken when one was due, one sentence; none if nothing is wrong.
    pub problem: Option<String>,
}

impl Resource for EtcdSnapshotStatus {
    const KIND: &'static str = "EtcdSnapshotStatus";
}

/// A certificate of one of the node's components, with its key. Named `COMPONENT/FILE`, such as `kubelet/kubelet-client`.
///
/// The kind is shared. Control planes sign their own (the controller `cluster-certificates`), workers ask a control plane
/// (the controller `cluster-join`). The component `bedplate` is machined itself: `bedplate/kubernetes` is its identity
/// towards the API server, `bedplate/etcd`, on control planes, towards etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentCertificate {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    #[serde(deserialize_with = "secret")]
    pub key: Secret,
    /// Whom and what it names: it is recreated when that changes.
    pub names: Vec<String>,
    /// First moment at which it is valid, in seconds since 1970.
    pub not_before: u64,
    /// Last moment at which it is valid, in seconds since 1970.
    pub not_after: u64,
}

impl Resource for ComponentCertificate {
    const KIND: &'static str = "ComponentCertificate";
    const SHARED: bool = true;
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}
