//! What the parts of a node ask of its network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use machine_config::value::IpPrefix;
use serde::{Deserialize, Serialize};

use crate::Resource;

/// What one part of the node asks of the network, beside others. Named by the part and what it speaks for: `config`,
/// `dhcp/eth0`.
///
/// The kind is shared: each part owns its own. The controller `network-specs` merges them by [`Precedence`] into `LinkSpec`,
/// `AddressSpec` and `RouteSpec`; a contribution that is removed takes with it what nobody else asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkContribution {
    /// Whose settings win.
    pub precedence: Precedence,
    /// Settings of interfaces, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, LinkSettings>,
    /// Addresses. They wait until their interface is managed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<ContributedAddress>,
    /// Routes. They wait until their interface is managed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<ContributedRoute>,
}

impl Resource for NetworkContribution {
    const KIND: &'static str = "NetworkContribution";
    const SHARED: bool = true;
}

impl NetworkContribution {
    /// Makes one that asks for nothing yet.
    pub fn new(precedence: Precedence) -> Self {
        NetworkContribution {
            precedence,
            links: BTreeMap::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// Whose settings win where two contributions contradict each other: the earlier one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Precedence {
    /// The machine config.
    Config,
    /// A part of the node that the machine config switched on, such as a virtual address, a mesh or the routes of pods.
    Node,
    /// A server on the network, by a lease: it never overrides what the node decides.
    Lease,
}

/// Settings of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkSettings {
    /// Set when the interface is to be managed: switched on, and given its addresses and routes.
    #[serde(default)]
    pub managed: bool,
    /// The largest packet in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Set when it takes what IPv6 routers say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts_routers: Option<bool>,
}

/// An address that an interface is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContributedAddress {
    /// The interface.
    pub link: String,
    /// The address, with the length of its network's prefix.
    pub address: IpPrefix,
}

/// A route that is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContributedRoute {
    /// The interface that it leaves by.
    pub link: String,
    /// Where it leads.
    pub to: IpPrefix,
    /// The router; none when the destination is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Its metric: of several routes to a network the kernel takes the one with the lowest.
    pub metric: u32,
}
