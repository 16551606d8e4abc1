//! Which components a node runs, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use machine_config::value::Host;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::arguments::Arguments;
use crate::tuning::Tuning;
use crate::{
    Cluster, Component, Error, EtcdRelease, Kind, Node, NodeName, Release, apiserver, controller_manager,
    etcd, kubelet, proxy, scheduler,
};

/// What only a control plane has.
#[derive(Clone)]
pub struct ControlPlane {
    /// The etcd that is there.
    pub etcd: &'static EtcdRelease,
    /// How its etcd comes to the others.
    pub membership: Membership,
    /// The identity of the cluster, so that etcd never joins another's.
    pub cluster_id: String,
    /// Further names and addresses for the API's certificate.
    pub names: Vec<Host>,
    /// The key by which secrets are encrypted in etcd.
    pub encryption_key: Zeroizing<[u8; 32]>,
    /// How patient it is.
    pub tuning: Tuning,
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane")
            .field("etcd", &self.etcd)
            .field("membership", &self.membership)
            .field("cluster_id", &self.cluster_id)
            .field("names", &self.names)
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

/// How a control plane's etcd comes to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// It is the first, and begins the cluster.
    First,
    /// It was added to these, or is one of them.
    Joins(Vec<Member>),
}

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its node's name.
    pub name: NodeName,
    /// Its node's address.
    pub address: IpAddr,
}

/// Returns everything that a node runs, in the order in which it starts: on a control plane all, on a worker the last two.
///
/// # Errors
///
/// What people gave that this version does not take.
pub fn plan(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
    plane: Option<&ControlPlane>,
) -> Result<Vec<Component>, Error> {
    let mut components = Vec::new();
    if let Some(plane) = plane {
        components.push(etcd::component(node, plane)?);
        components.push(apiserver::component(release, cluster, node, plane)?);
        components.push(controller_manager::component(release, cluster, node, plane)?);
        components.push(scheduler::component(release, cluster, node, plane)?);
    }
    components.push(kubelet::component(release, cluster, node)?);
    components.push(proxy::component(release, cluster, node)?);
    Ok(components)
}

/// Adds what people give for this component.
pub(crate) fn extra(arguments: Arguments, node: &Node) -> Result<Arguments, Error> {
    match node.extra.get(&arguments.kind()) {
        Some(extra) => arguments.extra(extra),
        None => Ok(arguments),
    }
}

/// Adds to a config what only this version needs.
pub(crate) fn settings(release: &Release, component: Kind, mut document: Value) -> Value {
    for (field, value) in release.settings(component) {
        document[field] = value.clone();
    }
    document
}

/// Returns every feature gate with its switch.
pub(crate) fn gate_map(
    release: &Release,
    cluster: &Cluster,
    node: &Node,
) -> Result<BTreeMap<String, bool>, Error> {
    let mut gates = node.feature_gates.clone();
    let is_name = |name: &&String| {
        name.bytes().all(|b| b.is_ascii_alphanumeric())
            && name.starts_with(|first: char| first.is_ascii_uppercase())
    };
    if let Some(wrong) = gates.keys().find(|name| !is_name(name)) {
        return Err(Error::FeatureGate(wrong.clone()));
    }
    if let Some(gate) = release.dual_stack_gate().filter(|_| cluster.is_dual_stack()) {
        gates.insert(gate.to_owned(), true);
    }
    Ok(gates)
}

/// Returns every feature gate as it stands on a command line.
pub(crate) fn gates(release: &Release, cluster: &Cluster, node: &Node) -> Result<Vec<String>, Error> {
    let gates = gate_map(release, cluster, node)?;
    Ok(gates
        .into_iter()
        .map(|(gate, on)| format!("{gate}={on}"))
        .collect())
}
