//! Reads interfaces, addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::workload_network::subnet;
use crate::decode::Cursor;
use crate::v1alpha1::types::*;
use crate::value::IpPrefix;

const MTU: (u32, u32) = (68, 65_535);
/// RFC 8200: the smallest MTU for IPv6.
const MTU_IPV6: u32 = 1280;

pub(super) fn network(cursor: Cursor<'_>) -> Option<Network> {
    let mut o = cursor.object()?;
    let mut seen = Seen::default();
    let interfaces = o.field("interfaces").map(Cursor::items).unwrap_or_default();
    let interfaces = interfaces
        .into_iter()
        .filter_map(|c| interface(c, &mut seen))
        .collect();
    let nameservers = o.field("nameservers").map(addresses).unwrap_or_default();
    let workload_subnet = o.field("workloadSubnet").and_then(|c| {
        let subnet = subnet(c.clone())?;
        if let Some(own) = seen.addresses.iter().find(|own| subnet.contains(**own)) {
            c.fault(format!(
                "{subnet} has {own}, an address of the node; choose another network"
            ));
        }
        Some(subnet)
    });
    o.finish();
    Some(Network {
        interfaces,
        nameservers,
        workload_subnet,
    })
}

/// What must be unique among all interfaces.
#[derive(Default)]
struct Seen {
    selectors: Vec<String>,
    addresses: Vec<IpAddr>,
}

fn interface(cursor: Cursor<'_>, seen: &mut Seen) -> Option<Interface> {
    let mut o = cursor.object()?;
    let name = o.field("name").and_then(|c| c.parsed());
    let mac_address = o.field("macAddress").and_then(|c| c.parsed());
    match (o.has("name"), o.has("macAddress")) {
        (true, true) => o.here().fault("has both name and macAddress; keep one"),
        (false, false) => o.here().fault("has neither name nor macAddress; give one"),
        _ => {}
    }
    let selector = name
        .as_ref()
        .map(ToString::to_string)
        .or(mac_address.map(|m| crate::value::MacAddress::to_string(&m)));
    if let Some(selector) = selector {
        if seen.selectors.contains(&selector) {
            o.here().fault(format!("interface {selector} is listed twice"));
        }
        seen.selectors.push(selector);
    }
    let dhcp = o.field("dhcp").and_then(|c| c.boolean()).unwrap_or_default();
    let addresses = o.field("addresses").map(Cursor::items).unwrap_or_default();
    let addresses: Vec<IpPrefix> = addresses.iter().filter_map(|c| host_address(c, seen)).collect();
    let mtu = o.field("mtu").and_then(|c| {
        let mtu = c.number(MTU.0, MTU.1)?;
        if mtu < MTU_IPV6 && addresses.iter().any(|a| a.address.is_ipv6()) {
            c.fault(format!(
                "an interface with IPv6 addresses needs {MTU_IPV6} or more"
            ));
        }
        Some(mtu)
    });
    let routes = o.field("routes").map(Cursor::items).unwrap_or_default();
    let routes = routes.into_iter().filter_map(route).collect();
    o.finish();
    Some(Interface {
        name,
        mac_address,
        dhcp,
        addresses,
        mtu,
        routes,
    })
}

/// Reads an address for the node itself.
fn host_address(cursor: &Cursor<'_>, seen: &mut Seen) -> Option<IpPrefix> {
    let prefix: IpPrefix = cursor.parsed()?;
    let address = prefix.address;
    if let (IpAddr::V4(v4), true) = (address, prefix.length < 31) {
        let host = v4.to_bits() & (u32::MAX >> prefix.length);
        if host == 0 {
            cursor.fault(format!(
                "{prefix} is the network itself; give the node's own address in it"
            ));
        } else if host == u32::MAX >> prefix.length {
            cursor.fault(format!(
                "{prefix} is the network's broadcast address; give the node's own address"
            ));
        }
    }
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if is_broadcast || address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        cursor.fault(format!("{address} is not an address a node can have"));
    }
    if seen.addresses.contains(&address) {
        cursor.fault(format!("address {address} is listed twice"));
    }
    seen.addresses.push(address);
    Some(prefix)
}

fn route(cursor: Cursor<'_>) -> Option<Route> {
    let mut o = cursor.object()?;
    let via = o.field("via").and_then(|c| Some((address(&c)?, c)));
    let to = o
        .required("to", "give the network, or default for the default route")
        .and_then(|c| target(&c, via.as_ref().map(|(via, _)| *via)));
    let via = via.map(|(via, c)| {
        if to.is_some_and(|to| to.address.is_ipv4() != via.is_ipv4()) {
            c.fault("the router and the network are of different IP versions");
        }
        via
    });
    let metric = o.field("metric").and_then(|c| c.number(0, u32::MAX));
    o.finish();
    Some(Route { to: to?, via, metric })
}

/// Reads the network of a route. `default` is the keyword of `ip route`; the router determines the IP version.
fn target(cursor: &Cursor<'_>, via: Option<IpAddr>) -> Option<IpPrefix> {
    if cursor.text()? == "default" {
        let address = match via {
            Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        return Some(IpPrefix { address, length: 0 });
    }
    let to: IpPrefix = cursor.parsed()?;
    if to.network() != to {
        cursor.fault(format!(
            "{to} is an address in the network {}; give the network",
            to.network()
        ));
    }
    Some(to)
}

fn addresses(cursor: Cursor<'_>) -> Vec<IpAddr> {
    cursor.items().iter().filter_map(address).collect()
}

fn address(cursor: &Cursor<'_>) -> Option<IpAddr> {
    let text = cursor.text()?;
    let parsed = text.parse();
    if parsed.is_err() {
        cursor.fault(format!("{text:?} is not an IP address"));
    }
    parsed.ok()
}
