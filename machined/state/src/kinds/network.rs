//! What is, and what should be, as resources.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use machine_config::value::{Host, HostName, IpPrefix, MacAddress};
use serde::{Deserialize, Serialize};

use crate::Resource;

macro_rules! resource {
    ($name:ident) => {
        impl Resource for $name {
            const KIND: &'static str = stringify!($name);
        }
    };
}

/// What a network interface is and does. Named by the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkStatus {
    /// The kernel's number for it.
    pub index: u32,
    /// Its hardware address.
    pub mac_address: Option<MacAddress>,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The largest packet in bytes that the hardware can be set to, where its driver says so.
    pub max_mtu: Option<u32>,
    /// The size in bytes that its driver refused, though no limit of it was known.
    pub refused_mtu: Option<u32>,
    /// Set when it is switched on.
    pub up: bool,
    /// Set when there is somebody at the other end.
    pub carrier: bool,
    /// What it is.
    pub kind: LinkKind,
    /// How it takes what IPv6 routers say; none without IPv6.
    pub ipv6: Option<Ipv6Status>,
}

/// How a network interface takes what IPv6 routers say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ipv6Status {
    /// Set when addresses and routes of router advertisements are taken, though the node forwards.
    pub accepts_routers: bool,
    /// Set when a router said that there are addresses by DHCPv6.
    pub managed: bool,
    /// Set when a router said that there are other settings by DHCPv6.
    pub other_config: bool,
}

/// What IPv6 routers said that the kernel does not use itself. Named by the interface; there while it is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouterAdvertisement {
    /// Name servers.
    pub nameservers: Vec<Ipv6Addr>,
    /// Domains to search names in.
    pub search: Vec<Host>,
}

/// What a network interface is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name")]
pub enum LinkKind {
    /// The machine's link to itself.
    Loopback,
    /// A physical Ethernet interface.
    Ethernet,
    /// Made by software.
    Virtual {
        /// The kernel's word for it: bridge, veth, wireguard, …
        driver: String,
    },
    /// Anything else.
    Other,
}

/// An address that an interface has. Named `LINK/ADDRESS/LENGTH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressStatus {
    /// The interface.
    #[serde(rename = "interface")]
    pub link: String,
    /// The address and its prefix length.
    pub address: IpPrefix,
    /// Set when Bedplate put it there, and so may take it away.
    pub ours: bool,
}

/// A route of the main table. Named `LINK/NETWORK/LENGTH/METRIC[/ROUTER]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteStatus {
    /// The interface.
    #[serde(rename = "interface")]
    pub link: String,
    /// The network it leads to.
    pub to: IpPrefix,
    /// The router; none when the network is on the link.
    pub via: Option<IpAddr>,
    /// The lowest metric is used.
    pub metric: u32,
    /// Set when Bedplate put it there, and so may take it away.
    pub ours: bool,
}

/// How an interface should be. Named by the interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkSpec {
    /// The largest packet in bytes; none leaves it as it is.
    pub mtu: Option<u32>,
    /// Set when addresses and routes of router advertisements are taken; otherwise it is left as it is.
    pub accepts_routers: bool,
}

/// An address that an interface should have. Named `LINK/ADDRESS/LENGTH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressSpec {
    /// The interface.
    #[serde(rename = "interface")]
    pub link: String,
    /// The address and its prefix length.
    pub address: IpPrefix,
}

/// A route that should be there. Named `LINK/NETWORK/LENGTH/METRIC[/ROUTER]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    /// The interface.
    #[serde(rename = "interface")]
    pub link: String,
    /// The network it leads to.
    pub to: IpPrefix,
    /// The router; none when the network is on the link.
    pub via: Option<IpAddr>,
    /// Set when the router is reached directly, though no address of the interface says so.
    pub on_link: bool,
    /// The lowest metric is used.
    pub metric: u32,
}

/// An interface that asks for a lease. Named by the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DhcpSpec {
    /// The name the node tells the server.
    pub hostname: Option<HostName>,
}

/// What a DHCP server gave. Named by the interface; there while it is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DhcpLease {
    /// The address and its prefix length.
    pub address: IpPrefix,
    /// Routes, the default route among them.
    pub routes: Vec<LeaseRoute>,
    /// Name servers.
    pub nameservers: Vec<IpAddr>,
    /// Domains to search names in.
    pub search: Vec<Host>,
    /// Time servers.
    pub time_servers: Vec<IpAddr>,
    /// The name the server knows the node by.
    pub hostname: Option<HostName>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// The server.
    pub server: Ipv4Addr,
    /// For how many seconds it was given.
    pub seconds: u32,
    /// What of it was left out or replaced, one sentence each.
    pub remarks: Vec<String>,
}

/// What a DHCPv6 server gave. Named by the interface; there while it is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dhcp6Lease {
    /// The address, where routers say that there are addresses by DHCPv6.
    pub address: Option<Ipv6Addr>,
    /// Name servers.
    pub nameservers: Vec<Ipv6Addr>,
    /// Domains to search names in.
    pub search: Vec<Host>,
    /// Time servers.
    pub time_servers: Vec<Ipv6Addr>,
    /// For how many seconds it was given.
    pub seconds: u32,
}

/// A route out of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseRoute {
    /// The network it leads to.
    pub to: IpPrefix,
    /// The router; none when the network is on the link.
    pub via: Option<IpAddr>,
}

resource!(LinkStatus);
resource!(RouterAdvertisement);
resource!(AddressStatus);
resource!(RouteStatus);
resource!(LinkSpec);
resource!(AddressSpec);
resource!(RouteSpec);
resource!(DhcpSpec);
resource!(DhcpLease);
resource!(Dhcp6Lease);

/// Makes the name of an address.
pub fn address_id(link: &str, address: IpPrefix) -> String {
    format!("{link}/{address}")
}

/// Makes the name of a route.
pub fn route_id(link: &str, to: IpPrefix, metric: u32, via: Option<IpAddr>) -> String {
    let via = via.map_or(String::new(), |via| format!("/{via}"));
    format!("{link}/{to}/{metric}{via}")
}

/// The sum of the network. Named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkStatus {
    /// Set when the node can be reached: an interface that is looked after has an address, and every address and route
    /// that was asked for is there.
    pub ready: bool,
    /// Addresses that others can use, without prefix lengths.
    pub addresses: Vec<std::net::IpAddr>,
    /// The default route with the lowest metric, as `ROUTER on LINK`.
    pub default_route: Option<String>,
    /// What is missing, one sentence each.
    pub problems: Vec<String>,
    /// What of leases was left out or replaced, one sentence each.
    pub remarks: Vec<String>,
}

impl Resource for NetworkStatus {
    const KIND: &'static str = "NetworkStatus";
}

/// The node's name and where it is from. Named `node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostNameStatus {
    /// The name.
    pub name: HostName,
    /// Where it is from.
    pub source: NameSource,
}

impl Resource for HostNameStatus {
    const KIND: &'static str = "HostNameStatus";
}

/// Where a name is from: the earlier ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NameSource {
    /// The machine config.
    Config,
    /// The engine that started the node as a container.
    Container,
    /// A DHCP server.
    Dhcp,
    /// Made from the machine's identity.
    MachineId,
    /// Made from the hardware address of the first interface: no identity is there yet.
    MacAddress,
    /// Nothing tells one node from another yet.
    Default,
}

/// Where names are looked up. Named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolverStatus {
    /// Name servers, in the order of asking; one that only an interface reaches is written `ADDRESS%INTERFACE`.
    pub servers: Vec<String>,
    /// Domains that names without dots are looked up in.
    pub search: Vec<Host>,
}

impl Resource for ResolverStatus {
    const KIND: &'static str = "ResolverStatus";
}
