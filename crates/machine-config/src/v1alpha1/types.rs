//! The types that users of this version write. The doc comments here are the reference page: write them for users.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

#[cfg(any(test, feature = "schema"))]
use super::defaults::yes;
use super::defaults::{is_default, is_true};
use super::{Cluster, Firmware, Health, Kubelet, Registry, Upgrades, Workload};
use crate::secret::Secret;
use crate::value::{
    Certificate, Host, HostName, InterfaceName, IpPrefix, LabelKey, LabelValue, MacAddress, ModuleName, Name,
    SysctlName, TaintValue,
};

/// The configuration of a node: one document per node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct MachineConfig {
    /// The version of the document's format.
    pub api_version: ApiVersion,
    /// The kind of the document.
    pub kind: Kind,
    /// The node itself.
    pub machine: Machine,
    /// The cluster the node belongs to.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub cluster: Cluster,
    /// Containers that the node runs by itself, without Kubernetes. They need the overlay `containerd`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub workloads: Vec<Workload>,
}

/// The version of the document's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema), schemars(inline))]
pub enum ApiVersion {
    /// The only version so far.
    #[default]
    #[serde(rename = "bedplate.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema), schemars(inline))]
pub enum Kind {
    /// A machine config.
    #[default]
    MachineConfig,
}

/// The node itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// What the node does in its cluster.
    pub role: Role,
    /// The node's name. Without one it comes from DHCP, or else is made from the machine's identity. With `cluster.ca` it has lower-case letters only, and no two nodes of a cluster have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostName>,
    /// The authority that signs the certificates of the node's API and of its users.
    pub ca: CertificateAuthority,
    /// The token with which a node joins the cluster: the same on all its nodes. Needed by control planes and workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Additional names and addresses for the API's certificate, besides the node's own.
    #[serde(rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub cert_sans: Vec<Host>,
    /// Interfaces, addresses, routes and name servers.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub network: Network,
    /// How the clock is set.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub time: Time,
    /// Kernel parameters and their values, such as `net.ipv4.ip_forward: 1`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub sysctls: BTreeMap<SysctlName, SysctlValue>,
    /// Kernel modules to load, besides those the board needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub modules: Vec<ModuleName>,
    /// When a node counts as healthy after an upgrade.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub health: Health,
    /// When and how the node is upgraded.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub upgrades: Upgrades,
    /// The boot loader and the firmware of the board.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub firmware: Firmware,
    /// Services by name, to be turned on or off against the image's default.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub services: BTreeMap<Name, Service>,
    /// Labels of the node in Kubernetes. A worker cannot have one that Kubernetes keeps for administrators, such as `node-role.kubernetes.io/…`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub node_labels: BTreeMap<LabelKey, LabelValue>,
    /// Taints of the node in Kubernetes by key, such as `example.com/gpu: present:NoSchedule`. A worker has those with which it joined: change them with `kubectl taint` afterwards.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub node_taints: BTreeMap<LabelKey, TaintValue>,
    /// How kubelet runs.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub kubelet: Kubelet,
    /// How images of workloads are pulled from registries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub registries: Vec<Registry>,
}

/// What a node does in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Runs the cluster's control plane, once there is one, and has the authority's key.
    ControlPlane,
    /// Runs workloads and joins with the token.
    Worker,
    /// Belongs to no cluster, and has its own authority's key.
    Standalone,
}

impl Role {
    /// Every role with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("controlPlane", Self::ControlPlane),
        ("worker", Self::Worker),
        ("standalone", Self::Standalone),
    ];

    /// Returns true if nodes of this role sign certificates themselves.
    pub fn holds_ca_key(self) -> bool {
        self != Self::Worker
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = Self::ALL.iter().find(|(_, role)| role == self);
        f.write_str(word.expect("every role has a name").0)
    }
}

/// An authority: its certificate and private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct CertificateAuthority {
    /// Its certificate. Others can follow it, which are accepted and sign nothing: while authorities are rotated, the old or
    /// the new one.
    pub cert: Certificate,
    /// Its private key in PEM. Needed by control planes and standalone nodes; a worker must not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

/// Interfaces, addresses, routes and name servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The interfaces to set up. With none listed, every physical Ethernet interface uses DHCP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub interfaces: Vec<Interface>,
    /// Name servers. Listed ones replace those learned from DHCP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub nameservers: Vec<IpAddr>,
    /// The network of workloads that are on the bridge, which must be no other one that the node reaches. `10.87.0.0/24` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_subnet: Option<IpPrefix>,
}

impl Network {
    /// Returns the network of workloads that are on the bridge.
    pub fn workload_subnet(&self) -> IpPrefix {
        self.workload_subnet.unwrap_or(IpPrefix {
            address: IpAddr::V4(Ipv4Addr::new(10, 87, 0, 0)),
            length: 24,
        })
    }
}

/// One interface, with either `name` or `macAddress`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// The interface's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<InterfaceName>,
    /// The interface's hardware address, which is independent of its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<MacAddress>,
    /// Set to true to get an IPv4 address by DHCP.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub dhcp: bool,
    /// Static addresses with their prefix lengths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub addresses: Vec<IpPrefix>,
    /// The largest packet in bytes, from 68 to 65535; at least 1280 with IPv6 addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Routes through this interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct Route {
    /// The destination network; `0.0.0.0/0` and `::/0` are the default routes, and `default` is the one that matches `via`.
    #[cfg_attr(any(test, feature = "schema"), schemars(schema_with = "target"))]
    pub to: IpPrefix,
    /// The router. Without one, the network is directly on the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Of several routes to the same network the one with the lowest metric is used; 1024 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

/// How the clock is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct Time {
    /// Set to false to leave the clock alone. True if not given.
    #[serde(skip_serializing_if = "is_true")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "yes"))]
    pub enabled: bool,
    /// SNTP servers. With none listed, those from DHCP are used, else `time.cloudflare.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub servers: Vec<Host>,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            enabled: true,
            servers: Vec::new(),
        }
    }
}

/// The value of a kernel parameter: a number or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysctlValue(pub String);

impl Serialize for SysctlValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(any(test, feature = "schema"))]
impl schemars::JsonSchema for SysctlValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SysctlValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A service, turned on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct Service {
    /// Set to true to run the service, to false to stop it.
    pub enabled: bool,
}

/// The metric of a route without one: the kernel's default for IPv6, and higher than DHCP's.
pub const ROUTE_METRIC: u32 = 1024;

#[cfg(any(test, feature = "schema"))]
fn target(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "pattern": r"^(default|[0-9A-Fa-f:.]+/[0-9]{1,3})$" })
}
