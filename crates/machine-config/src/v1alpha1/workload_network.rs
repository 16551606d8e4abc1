//! How workloads reach the network, and are reached. The doc comments here are the reference page: write them for users.

use std::net::Ipv4Addr;

use serde::Serialize;

use super::defaults::is_default;

/// How a workload reaches the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum NetworkMode {
    /// Only itself.
    #[default]
    None,
    /// As the node does: its ports are ports of the node.
    Host,
    /// By a bridge, with an address of its own: it reaches the world, and other workloads on the bridge by their names. It is reached by its published ports.
    Bridge,
}

impl NetworkMode {
    /// Every mode with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("host", Self::Host),
        ("bridge", Self::Bridge),
    ];
}

/// The network of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct WorkloadNetwork {
    /// What it reaches.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub mode: NetworkMode,
    /// Its ports that are reached at ports of the node. Only with `mode: bridge`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub ports: Vec<PublishedPort>,
}

/// A port of a workload that is reached at a port of the node, by IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct PublishedPort {
    /// The port on which the workload listens.
    pub container: u16,
    /// The port of the node; the same one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
    /// The protocol. `tcp` if not given.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub protocol: PortProtocol,
    /// The one address of the node at which it is reached, such as 127.0.0.1; all of them if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

impl PublishedPort {
    /// Returns the port of the node.
    pub fn host(&self) -> u16 {
        self.host.unwrap_or(self.container)
    }

    /// Returns true if one packet could be for both.
    pub fn collides(&self, other: &Self) -> bool {
        let same_address = match (self.address, other.address) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.protocol == other.protocol && self.host() == other.host() && same_address
    }
}

/// The protocol of a published port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum PortProtocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl PortProtocol {
    /// Every protocol with its name.
    pub const ALL: [(&'static str, Self); 2] = [("tcp", Self::Tcp), ("udp", Self::Udp)];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
