//! The cluster that a node belongs to. The doc comments here are the reference page: write them for users.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

#[cfg(any(test, feature = "schema"))]
use super::defaults::yes;
use super::defaults::{is_default, is_true};
use super::{ApiServer, CertificateAuthority, ComponentSettings, Etcd, FeatureGates, Manifest};
use crate::secret::Secret;
use crate::value::{DnsDomain, Endpoint, IpPrefix, Name};

/// The cluster the node belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The cluster's identity: the same on all its nodes, and unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Name>,
    /// The address at which nodes and clients reach the control plane. Needed by workers, and by control planes with `ca`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The authority of the cluster's Kubernetes. Without it the node runs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificateAuthority>,
    /// What else a control plane signs and encrypts with. Needed by control planes with `ca`; a worker must not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<ClusterSecrets>,
    /// The networks of pods and services: the same on all nodes.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub network: ClusterNetwork,
    /// How nodes find one another.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub discovery: ClusterDiscovery,
    /// Networks that the node's own address is in, where it has several. With none listed, the first address will do that is neither link-local nor one of pods or services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub subnets: Vec<IpPrefix>,
    /// An address that one of the control planes has at a time, and that moves to another one when that one fails: the host in `endpoint`, where no load balancer is. It must be free, and in the network of the control planes' own addresses. Workers ignore it.
    #[serde(rename = "virtualIP", skip_serializing_if = "Option::is_none")]
    pub virtual_ip: Option<IpAddr>,
    /// How the API server runs.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub api_server: ApiServer,
    /// How the controller manager runs.
    #[serde(skip_serializing_if = "ComponentSettings::is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub controller_manager: ComponentSettings,
    /// How the scheduler runs.
    #[serde(skip_serializing_if = "ComponentSettings::is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub scheduler: ComponentSettings,
    /// How etcd runs.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub etcd: Etcd,
    /// Feature gates of all components of Kubernetes on this node, such as `SidecarContainers: true`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub feature_gates: FeatureGates,
    /// Set to true to let this control plane run pods, to false to keep those away that do not tolerate the taint `node-role.kubernetes.io/control-plane`. If not given, it runs pods as long as the cluster has no worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_scheduling_on_control_planes: Option<bool>,
    /// Objects of Kubernetes that control planes apply, in this order: the same list on all control planes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub manifests: Vec<Manifest>,
}

/// What else a control plane signs and encrypts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSecrets {
    /// The authority of etcd's members and clients.
    #[serde(rename = "etcdCA")]
    pub etcd_ca: CertificateAuthority,
    /// The authority of the API server as it passes calls on to extensions of the API.
    #[serde(rename = "frontProxyCA")]
    pub front_proxy_ca: CertificateAuthority,
    /// The key that signs the tokens of service accounts, in PEM.
    pub service_account_key: Secret,
    /// The key that encrypts secrets in etcd: 32 bytes in base64.
    pub encryption_key: Secret,
}

/// The networks of pods and services. With two of a kind, one is of IPv4 and one of IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNetwork {
    /// The network of pods: each node takes a part of it. `10.244.0.0/16` if not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub pods: Vec<IpPrefix>,
    /// The network of services, of the same families as that of pods. `10.96.0.0/12` if not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub services: Vec<IpPrefix>,
    /// The domain under which services have their names. `cluster.local` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<DnsDomain>,
    /// Who connects pods. `bridge`, if not given, is the node's own: a bridge on each node, and routes between the nodes, which must be in one network. With `none` you install a plugin such as Cilium.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub cni: Cni,
    /// Who forwards what goes to services. `auto`, if not given, is kube-proxy by nftables where the version of Kubernetes can, and by iptables otherwise. With `none` you install something else, such as Cilium.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub proxy: Proxy,
    /// How packets get to the pods of other nodes. With `none`, if not given, they go by routes, and the nodes must be in one network. With `wireguard` they go through an encrypted mesh. With `auto` the mesh is used only to nodes that are in another network. The same on all nodes; UDP port 51820 must be open between them. Only with `cni: bridge`.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub mesh: Mesh,
}

/// How nodes find one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDiscovery {
    /// Set to false to keep the node from announcing itself on its local networks, and from looking for others of its cluster there, by multicast DNS. `true` if not given, also for a node without a cluster.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "yes"))]
    pub mdns: bool,
}

impl Default for ClusterDiscovery {
    fn default() -> Self {
        Self { mdns: true }
    }
}

/// Who connects pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Cni {
    /// The node: a bridge, and routes between nodes.
    #[default]
    Bridge,
    /// A plugin that you install.
    None,
}

impl Cni {
    /// Every choice with its name.
    pub const ALL: [(&'static str, Self); 2] = [("bridge", Self::Bridge), ("none", Self::None)];
}

/// How packets get to the pods of other nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Mesh {
    /// By routes alone.
    #[default]
    None,
    /// By WireGuard to nodes that are in another network, by routes to the others.
    Auto,
    /// By WireGuard to all.
    Wireguard,
}

impl Mesh {
    /// Every choice with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("auto", Self::Auto),
        ("wireguard", Self::Wireguard),
    ];
}

/// Who forwards what goes to services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Proxy {
    /// kube-proxy, in the best way that the version of Kubernetes has.
    #[default]
    Auto,
    /// kube-proxy, by iptables.
    Iptables,
    /// kube-proxy, by nftables.
    Nftables,
    /// Something that you install.
    None,
}

impl Proxy {
    /// Every choice with its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("iptables", Self::Iptables),
        ("nftables", Self::Nftables),
        ("none", Self::None),
    ];
}
