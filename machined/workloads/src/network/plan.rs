//! Which workload has which address, and whether the network is free. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use machine_config::value::IpPrefix;
use state::kinds::{AddressStatus, RouteStatus};

use super::BRIDGE;

/// Returns the node's own address in the network: the first one.
pub fn gateway(subnet: IpPrefix) -> Ipv4Addr {
    Ipv4Addr::from_bits(first(subnet))
}

fn first(subnet: IpPrefix) -> u32 {
    match subnet.network().address {
        IpAddr::V4(network) => network.to_bits().saturating_add(1),
        // The config takes none of IPv6.
        IpAddr::V6(_) => 0,
    }
}

/// Hands out addresses. Whoever has one keeps it; one that was given back is handed out again as late as can be, since its
/// container may still be ending. A network that is too small leaves some without one.
pub fn addresses(
    subnet: IpPrefix,
    workloads: &[&str],
    before: &BTreeMap<String, Ipv4Addr>,
) -> BTreeMap<String, Ipv4Addr> {
    let first = first(subnet);
    // Without the network itself, the node, and the address of everybody.
    let count = u32::MAX
        .checked_shr(u32::from(subnet.length))
        .unwrap_or(0)
        .saturating_sub(2);
    let host = |number: u32| Ipv4Addr::from_bits(first + 1 + number % count.max(1));
    let fits = |address: &Ipv4Addr| (1..=count).contains(&address.to_bits().wrapping_sub(first));
    let mut given: BTreeMap<String, Ipv4Addr> = before
        .iter()
        .filter(|(name, address)| workloads.contains(&name.as_str()) && fits(address))
        .map(|(name, address)| (name.clone(), *address))
        .collect();
    let last = before.values().filter(|address| fits(address)).max();
    let start = last.map_or(0, |last| last.to_bits() - first);
    for name in workloads {
        if given.contains_key(*name) {
            continue;
        }
        let mut free = (0..count).map(|step| host(start + step));
        let free = free.find(|address| !given.values().any(|taken| taken == address));
        if let Some(address) = free {
            given.insert((*name).to_owned(), address);
        }
    }
    given
}

/// Says which other network of the node the network of workloads collides with, and what to do.
pub fn collision(
    subnet: IpPrefix,
    addresses: &[AddressStatus],
    routes: &[RouteStatus],
    cluster: &[IpPrefix],
) -> Option<String> {
    let overlaps = |other: IpPrefix| {
        let shorter = subnet.length.min(other.length);
        let cut = |prefix: IpPrefix| IpPrefix {
            length: shorter,
            ..prefix
        };
        other.address.is_ipv4() && cut(subnet).network() == cut(other).network()
    };
    let address = addresses
        .iter()
        .filter(|status| status.link != BRIDGE)
        .find(|status| overlaps(status.address))
        .map(|status| format!("{} of {}", status.address, status.link));
    let route = || {
        routes
            .iter()
            .filter(|route| route.link != BRIDGE && !route.to.is_default())
            .find(|route| overlaps(route.to))
            .map(|route| format!("the route to {} by {}", route.to, route.link))
    };
    let cluster = || {
        let found = cluster.iter().find(|network| overlaps(**network));
        found.map(|network| format!("{network} of the cluster"))
    };
    let other = address.or_else(route).or_else(cluster)?;
    Some(format!(
        "the network of workloads {subnet} collides with {other}; set machine.network.workloadSubnet to one that is free"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> IpPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_has_an_address_keeps_it() {
        let net = subnet("10.87.0.0/25");
        assert_eq!(gateway(net), Ipv4Addr::new(10, 87, 0, 1));
        let last = |given: &BTreeMap<String, Ipv4Addr>| -> Vec<(String, u8)> {
            given
                .iter()
                .map(|(name, address)| (name.clone(), address.octets()[3]))
                .collect()
        };
        let own = |name: &str, number| (name.to_owned(), number);
        let one = addresses(net, &["b", "a"], &BTreeMap::new());
        assert_eq!(last(&one), [own("a", 3), own("b", 2)]);
        let two = addresses(net, &["c", "a"], &one);
        assert_eq!(last(&two), [own("a", 3), own("c", 4)], "2 may still be in use");
        let elsewhere = addresses(subnet("10.88.0.0/25"), &["a"], &two);
        assert_eq!(elsewhere["a"], Ipv4Addr::new(10, 88, 0, 2));
        let at_the_end = BTreeMap::from([("z".to_owned(), Ipv4Addr::new(10, 87, 0, 126))]);
        let around = addresses(net, &["z", "a"], &at_the_end);
        assert_eq!(last(&around), [own("a", 2), own("z", 126)]);
    }

    #[test]
    fn every_other_network_of_the_node_is_in_the_way() {
        let net = subnet("10.87.0.0/24");
        let address = |link: &str, text: &str| AddressStatus {
            link: link.into(),
            address: text.parse().unwrap(),
            ours: false,
        };
        let route = |link: &str, text: &str| RouteStatus {
            link: link.into(),
            to: text.parse().unwrap(),
            via: None,
            metric: 0,
            ours: false,
        };
        let told = |addresses: &[AddressStatus], routes: &[RouteStatus], cluster: &[IpPrefix]| {
            collision(net, addresses, routes, cluster)
        };
        let own = [address(BRIDGE, "10.87.0.1/24")];
        assert_eq!(told(&own, &[route(BRIDGE, "10.87.0.0/24")], &[]), None);
        let free = [address("eth0", "10.86.0.9/24"), address("eth0", "fd00::1/64")];
        assert_eq!(
            told(&free, &[route("eth0", "0.0.0.0/0")], &[subnet("10.96.0.0/12")]),
            None
        );
        let by_address = told(&[address("eth0", "10.80.1.9/12")], &[], &[]).unwrap();
        assert!(
            by_address
                .starts_with("the network of workloads 10.87.0.0/24 collides with 10.80.1.9/12 of eth0; set"),
            "{by_address}"
        );
        let by_route = told(&[], &[route("vpn", "10.87.0.128/30")], &[]).unwrap();
        assert!(
            by_route.contains("the route to 10.87.0.128/30 by vpn"),
            "{by_route}"
        );
        let by_cluster = told(&[], &[], &[subnet("10.0.0.0/8")]).unwrap();
        assert!(by_cluster.contains("10.0.0.0/8 of the cluster"), "{by_cluster}");
    }

    proptest! {
        #[test]
        fn nobody_shares_an_address(
            length in 8_u8..=25,
            names in proptest::collection::btree_set("[a-z]{1,3}", 0..64),
            before in proptest::collection::btree_map("[a-z]{1,3}", any::<u32>(), 0..64),
            near: bool,
        ) {
            let net = IpPrefix { address: Ipv4Addr::new(10, 0, 0, 0).into(), length };
            let mut taken = std::collections::BTreeSet::new();
            let before: BTreeMap<_, _> = before
                .into_iter()
                .map(|(name, bits)| (name, Ipv4Addr::from_bits(if near { (10 << 24) | (bits % 128) } else { bits })))
                .filter(|(_, address)| taken.insert(*address))
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let given = addresses(net, &names, &before);
            prop_assert_eq!(given.len(), names.len());
            let mut seen = std::collections::BTreeSet::new();
            for (name, address) in &given {
                prop_assert!(net.contains((*address).into()) && *address != gateway(net), "{} {}", name, address);
                prop_assert!(seen.insert(*address), "{} twice", address);
            }
        }
    }
}
