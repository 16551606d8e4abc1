//! Checks what a DHCP server said. Whoever answers first on the wire wrote this: nothing in it is believed unseen.

use std::net::{IpAddr, Ipv4Addr};

use machine_config::value::{Host, HostName, IpPrefix};
use mozim::DhcpV4Lease;

use super::super::resources::{DhcpLease, LeaseRoute};

/// How many entries of a list are taken: more is no help to anybody.
const LIST: usize = 16;

/// Says why a lease cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The address is not one a node can have.
    #[error("{0} is not an address a node can have")]
    Address(Ipv4Addr),
    /// The mask has holes, or is missing.
    #[error("{0} is not a network mask")]
    Mask(Ipv4Addr),
}

/// Takes what is usable: a bad address or mask spoils the lease, anything else is left out.
pub(super) fn check(raw: &DhcpV4Lease) -> Result<DhcpLease, LeaseError> {
    let address = raw.yiaddr;
    if !is_host(address) {
        return Err(LeaseError::Address(address));
    }
    let mask = raw.subnet_mask.to_bits();
    if mask == 0 || mask.leading_ones() + mask.trailing_zeros() != 32 {
        return Err(LeaseError::Mask(raw.subnet_mask));
    }
    let search = raw.domain_search.iter().flatten().chain(&raw.domain_name);
    Ok(DhcpLease {
        address: IpPrefix {
            address: address.into(),
            length: mask.leading_ones() as u8,
        },
        routes: routes(raw),
        nameservers: hosts(raw.dns_srvs.as_deref()),
        search: search
            .filter_map(|domain| domain_name(domain))
            .take(LIST)
            .collect(),
        time_servers: hosts(raw.ntp_srvs.as_deref()),
        hostname: raw.host_name.as_deref().and_then(host_name),
        mtu: raw.mtu.map(u32::from),
        server: raw.srv_id,
        seconds: raw.lease_time_sec,
    })
}

/// RFC 3442: where there are classless routes, the router option does not count.
fn routes(raw: &DhcpV4Lease) -> Vec<LeaseRoute> {
    let default = IpPrefix {
        address: Ipv4Addr::UNSPECIFIED.into(),
        length: 0,
    };
    if let Some(list) = &raw.classless_routes {
        let usable = list.iter().filter(|route| route.prefix_length <= 32);
        let route = |route: &mozim::DhcpV4ClasslessRoute| LeaseRoute {
            to: IpPrefix {
                address: route.destination.into(),
                length: route.prefix_length,
            }
            .network(),
            via: is_host(route.router).then_some(route.router.into()),
        };
        return usable.map(route).take(LIST).collect();
    }
    let router = raw.gateways.iter().flatten().find(|router| is_host(**router));
    router
        .map(|router| LeaseRoute {
            to: default,
            via: Some((*router).into()),
        })
        .into_iter()
        .collect()
}

fn hosts(list: Option<&[Ipv4Addr]>) -> Vec<IpAddr> {
    let usable = list
        .unwrap_or_default()
        .iter()
        .filter(|address| is_host(**address));
    usable.map(|address| IpAddr::from(*address)).take(LIST).collect()
}

fn is_host(address: Ipv4Addr) -> bool {
    let reserved = address.octets()[0] == 0 || address.octets()[0] >= 240;
    !reserved && !address.is_loopback() && !address.is_multicast()
}

/// Servers end texts with zeros, and domains with dots.
fn trimmed(text: &str) -> &str {
    text.trim_end_matches('\0').trim_end_matches('.')
}

fn domain_name(text: &str) -> Option<Host> {
    let host: Host = trimmed(text).parse().ok()?;
    host.as_str().parse::<IpAddr>().is_err().then_some(host)
}

fn host_name(text: &str) -> Option<HostName> {
    trimmed(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw() -> DhcpV4Lease {
        let mut raw = DhcpV4Lease::default();
        raw.yiaddr = Ipv4Addr::new(10, 0, 2, 15);
        raw.subnet_mask = Ipv4Addr::new(255, 255, 255, 0);
        raw.gateways = Some(vec![Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 2, 2)]);
        raw.lease_time_sec = 86_400;
        raw
    }

    #[test]
    fn an_ordinary_lease_is_taken_whole() {
        let mut raw = raw();
        raw.dns_srvs = Some(vec![Ipv4Addr::new(10, 0, 2, 3)]);
        raw.domain_name = Some("example.org.\0".into());
        raw.host_name = Some("node7".into());
        raw.mtu = Some(1400);
        let lease = check(&raw).unwrap();
        assert_eq!(lease.address.to_string(), "10.0.2.15/24");
        assert_eq!(lease.routes.len(), 1);
        assert_eq!(lease.routes[0].via.unwrap().to_string(), "10.0.2.2");
        assert_eq!(
            (lease.nameservers.len(), lease.search[0].as_str(), lease.mtu),
            (1, "example.org", Some(1400))
        );
        assert_eq!(lease.hostname.unwrap().as_str(), "node7");
    }

    #[test]
    fn classless_routes_stand_for_the_router() {
        let mut raw = raw();
        let route = |destination: [u8; 4], prefix_length, router: [u8; 4]| mozim::DhcpV4ClasslessRoute {
            destination: destination.into(),
            prefix_length,
            router: router.into(),
        };
        raw.classless_routes = Some(vec![
            route([10, 9, 8, 7], 16, [10, 0, 2, 9]),
            route([10, 8, 0, 0], 16, [0, 0, 0, 0]),
            route([10, 8, 0, 0], 77, [10, 0, 2, 9]),
        ]);
        let lines: Vec<_> = check(&raw)
            .unwrap()
            .routes
            .iter()
            .map(|r| format!("{} {:?}", r.to, r.via))
            .collect();
        assert_eq!(lines, ["10.9.0.0/16 Some(10.0.2.9)", "10.8.0.0/16 None"]);
    }

    #[test]
    fn a_bad_address_or_mask_spoils_the_lease() {
        for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
            let mut raw = raw();
            raw.yiaddr = address.into();
            assert_eq!(check(&raw), Err(LeaseError::Address(address.into())));
        }
        for mask in [[0, 0, 0, 0], [255, 0, 255, 0], [0, 255, 255, 255]] {
            let mut raw = raw();
            raw.subnet_mask = mask.into();
            assert_eq!(check(&raw), Err(LeaseError::Mask(mask.into())));
        }
    }

    #[test]
    fn texts_that_are_no_names_are_left_out() {
        let mut raw = raw();
        raw.host_name = Some("a b\nnameserver 6.6.6.6".into());
        raw.domain_search = Some(vec![
            "ok.example".into(),
            "x\noptions y".into(),
            "10.0.0.1".into(),
        ]);
        let lease = check(&raw).unwrap();
        assert_eq!((lease.hostname, lease.search.len()), (None, 1));
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_is_checked(
            address in any::<u32>(), mask in any::<u32>(), routers in proptest::collection::vec(any::<u32>(), 0..40),
            routes in proptest::collection::vec((any::<u32>(), any::<u8>(), any::<u32>()), 0..40), text in any::<String>(),
        ) {
            let mut raw = DhcpV4Lease::default();
            (raw.yiaddr, raw.subnet_mask) = (Ipv4Addr::from_bits(address), Ipv4Addr::from_bits(mask));
            let routers: Vec<_> = routers.into_iter().map(Ipv4Addr::from_bits).collect();
            (raw.gateways, raw.dns_srvs) = (Some(routers.clone()), Some(routers));
            let route = |(to, prefix_length, via)| mozim::DhcpV4ClasslessRoute {
                destination: Ipv4Addr::from_bits(to), prefix_length, router: Ipv4Addr::from_bits(via),
            };
            raw.classless_routes = Some(routes.into_iter().map(route).collect());
            (raw.host_name, raw.domain_name) = (Some(text.clone()), Some(text));
            if let Ok(lease) = check(&raw) {
                prop_assert!(lease.routes.len() <= LIST && lease.nameservers.len() <= LIST);
                prop_assert!(lease.routes.iter().all(|route| route.to.network() == route.to));
                let back: DhcpLease = serde_json::from_value(serde_json::to_value(&lease).unwrap()).unwrap();
                prop_assert_eq!(back, lease);
            }
        }
    }
}
