//! OpenStack's `network_data.json`: the addresses of an instance in networks without DHCP.

use std::net::IpAddr;

use serde::Deserialize;

use crate::meta_data::{LIMIT, MetaDataError, object};

/// The most interfaces that are taken.
const INTERFACES: usize = 32;

/// What a node takes from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkData {
    /// The interfaces; none when DHCP or router advertisements give every address.
    pub interfaces: Vec<Interface>,
    /// The name servers.
    pub name_servers: Vec<IpAddr>,
}

/// An interface, by its hardware address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// The hardware address, as it is written.
    pub mac_address: String,
    /// Set when IPv4 comes by DHCP.
    pub dhcp: bool,
    /// Addresses, with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Networks, with the lengths of their prefixes, and their routers.
    pub routes: Vec<((IpAddr, u8), IpAddr)>,
    /// The largest packet.
    pub mtu: Option<u32>,
}

/// Says why it is not used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkDataError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] MetaDataError),
    /// It describes what a node cannot do.
    #[error("it has a link of the type {0:?}, which a node cannot make")]
    Link(String),
    /// Something in it has no sense.
    #[error("{0:?} is not {1}")]
    Value(String, &'static str),
    /// It has too many of something.
    #[error("it has more than {INTERFACES} interfaces")]
    TooMany,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    links: Vec<Link>,
    #[serde(default)]
    networks: Vec<Network>,
    #[serde(default)]
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Link {
    id: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    ethernet_mac_address: Option<String>,
    #[serde(default)]
    mtu: Option<u32>,
}

#[derive(Deserialize)]
struct Network {
    link: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    ip_address: Option<String>,
    #[serde(default)]
    netmask: Option<String>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Route {
    network: String,
    netmask: String,
    gateway: String,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    address: Option<String>,
}

/// Reads `network_data.json`.
///
/// # Errors
///
/// When it is too long, not such a document, or describes what a node cannot do.
pub fn read(bytes: &[u8]) -> Result<NetworkData, NetworkDataError> {
    if bytes.len() > LIMIT {
        return Err(MetaDataError::TooLong.into());
    }
    let document: Document = object(bytes)?;
    if !document.networks.iter().any(|network| is_static(&network.kind)) {
        return Ok(NetworkData::default());
    }
    if document.links.len() > INTERFACES {
        return Err(NetworkDataError::TooMany);
    }
    let mut data = NetworkData::default();
    for link in &document.links {
        let kind = link.kind.clone().unwrap_or_default();
        let mac_address = match &link.ethernet_mac_address {
            Some(address) if !matches!(kind.as_str(), "bond" | "vlan") => address.clone(),
            _ => return Err(NetworkDataError::Link(kind)),
        };
        let mut interface = Interface {
            mac_address,
            mtu: link.mtu,
            ..Interface::default()
        };
        for network in document.networks.iter().filter(|network| network.link == link.id) {
            interface.add(network)?;
            name_servers(&network.services, &mut data.name_servers)?;
        }
        data.interfaces.push(interface);
    }
    name_servers(&document.services, &mut data.name_servers)?;
    Ok(data)
}

fn is_static(kind: &str) -> bool {
    matches!(kind, "ipv4" | "ipv6")
}

impl Interface {
    fn add(&mut self, network: &Network) -> Result<(), NetworkDataError> {
        if network.kind == "ipv4_dhcp" {
            self.dhcp = true;
        }
        // What router advertisements give needs no word.
        if !is_static(&network.kind) {
            return Ok(());
        }
        let written = network.ip_address.as_deref().unwrap_or_default();
        // Either has the length of the prefix.
        let prefix = match (written.split_once('/'), &network.netmask) {
            (Some((address, length)), _) => prefix_of(address, length)?,
            (None, Some(mask)) => prefix_of(written, mask)?,
            (None, None) => {
                return Err(NetworkDataError::Value(
                    written.to_owned(),
                    "an address with a netmask",
                ));
            }
        };
        self.addresses.push(prefix);
        for route in &network.routes {
            let to = prefix_of(&route.network, &route.netmask)?;
            self.routes.push((to, address(&route.gateway)?));
        }
        Ok(())
    }
}

fn name_servers(services: &[Service], into: &mut Vec<IpAddr>) -> Result<(), NetworkDataError> {
    for service in services.iter().filter(|service| service.kind == "dns") {
        let server = address(service.address.as_deref().unwrap_or_default())?;
        if !into.contains(&server) && into.len() < INTERFACES {
            into.push(server);
        }
    }
    Ok(())
}

/// Reads an address, and the length of its prefix, which is written as a number or as a netmask.
fn prefix_of(of: &str, mask: &str) -> Result<(IpAddr, u8), NetworkDataError> {
    let wrong = || NetworkDataError::Value(mask.to_owned(), "a netmask");
    let of = address(of)?;
    let most = if of.is_ipv4() { 32 } else { 128 };
    let length = match mask.parse::<u8>() {
        Ok(length) => length,
        Err(_) => {
            // Ones, and then zeros.
            let (ones, zeros) = match mask.parse::<IpAddr>().map_err(|_| wrong())? {
                IpAddr::V4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros()),
                IpAddr::V6(mask) => (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros()),
            };
            let sound = ones + zeros == most || ones == most;
            u8::try_from(ones).ok().filter(|_| sound).ok_or_else(wrong)?
        }
    };
    (u32::from(length) <= most)
        .then_some((of, length))
        .ok_or_else(wrong)
}

fn address(text: &str) -> Result<IpAddr, NetworkDataError> {
    text.parse()
        .map_err(|_| NetworkDataError::Value(text.to_owned(), "an address"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOVA: &str = r#"{
        "links": [{"id": "tap1", "vif_id": "v", "type": "ovs", "mtu": 1450, "ethernet_mac_address": "fa:16:3e:01:02:03"},
                  {"id": "tap2", "type": "phy", "mtu": null, "ethernet_mac_address": "fa:16:3e:01:02:04"}],
        "networks": [
            {"id": "network0", "type": "ipv4", "link": "tap1", "ip_address": "10.0.0.5", "netmask": "255.255.255.0",
             "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"}],
             "services": [{"type": "dns", "address": "10.0.0.2"}], "network_id": "n"},
            {"id": "network1", "type": "ipv6", "link": "tap1", "ip_address": "fd00::5/64", "netmask": "ffff:ffff:ffff:ffff::",
             "routes": [{"network": "::", "netmask": "::", "gateway": "fd00::1"}]},
            {"id": "network2", "type": "ipv4_dhcp", "link": "tap2"}],
        "services": [{"type": "dns", "address": "10.0.0.2"}, {"type": "ntp", "address": "10.0.0.3"}]}"#;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn static_addresses_come_with_their_routes() {
        let first = Interface {
            mac_address: "fa:16:3e:01:02:03".into(),
            dhcp: false,
            addresses: vec![(ip("10.0.0.5"), 24), (ip("fd00::5"), 64)],
            routes: vec![
                ((ip("0.0.0.0"), 0), ip("10.0.0.1")),
                ((ip("::"), 0), ip("fd00::1")),
            ],
            mtu: Some(1450),
        };
        let second = Interface {
            mac_address: "fa:16:3e:01:02:04".into(),
            dhcp: true,
            ..Interface::default()
        };
        let expected = NetworkData {
            interfaces: vec![first, second],
            name_servers: vec![ip("10.0.0.2")],
        };
        assert_eq!(read(NOVA.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn with_dhcp_there_is_nothing_to_take() {
        let dhcp = NOVA
            .replace(r#""type": "ipv4","#, r#""type": "ipv4_dhcp","#)
            .replace(r#""type": "ipv6","#, r#""type": "ipv6_slaac","#);
        assert_eq!(read(dhcp.as_bytes()).unwrap(), NetworkData::default());
        assert_eq!(read(b"{}").unwrap(), NetworkData::default());
    }

    #[test]
    fn what_is_not_simple_or_wrong_is_told() {
        for (from, to, part) in [
            (r#""phy""#, r#""bond""#, "bond"),
            (r#", "ethernet_mac_address": "fa:16:3e:01:02:04""#, "", "phy"),
            ("255.255.255.0", "255.0.255.0", "not a netmask"),
            ("255.255.255.0", "33", "not a netmask"),
            ("10.0.0.5", "10.0.0.500", "not an address"),
            (r#""10.0.0.1""#, r#""""#, "not an address"),
            (r#""links": ["#, r#""links": 7, "l": ["#, "JSON"),
        ] {
            assert!(NOVA.contains(from), "{from}");
            let error = read(NOVA.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(part), "{from} to {to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_prefixes_fit(at in 0..NOVA.len(), with in "[ -~]{0,6}", cut: bool) {
            let tail = if cut { "" } else { &NOVA[at + 1..] };
            let text = format!("{}{with}{tail}", &NOVA[..at]);
            if let Ok(data) = read(text.as_bytes()) {
                for (address, length) in data.interfaces.iter().flat_map(|interface| &interface.addresses) {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    prop_assert!(*length <= most);
                }
            }
        }
    }
}
