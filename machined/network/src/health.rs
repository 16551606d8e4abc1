//! Summarizes the network, for the health check and the console page.

use std::collections::BTreeMap;

use async_trait::async_trait;
use machine_config::MachineConfig;
use state::kinds::{
    AddressSpec, AddressStatus, DhcpLease, LinkKind, LinkSpec, LinkStatus, NODE, NetworkStatus, RouteSpec,
    RouteStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store};

use super::from_config::select;

/// Summarizes the network. Sole owner of `NetworkStatus`.
pub struct NetworkHealth;

/// The input of the summary.
#[derive(Default)]
struct Facts {
    config: Option<MachineConfig>,
    links: BTreeMap<String, LinkStatus>,
    wanted_links: BTreeMap<String, LinkSpec>,
    leases: BTreeMap<String, DhcpLease>,
    addresses: Vec<AddressStatus>,
    routes: Vec<RouteStatus>,
    wanted_addresses: Vec<AddressSpec>,
    wanted_routes: Vec<RouteSpec>,
}

/// Summarizes. Pure.
fn summary(facts: &Facts) -> NetworkStatus {
    // What the loopback interface has, such as the address of the cluster's DNS, is the node's to itself.
    let loopback = |link: &str| {
        let found = facts.links.get(link);
        found.is_some_and(|link| link.kind == LinkKind::Loopback)
    };
    let usable = |status: &&AddressStatus| is_usable(status.address.address) && !loopback(&status.link);
    let addresses = facts.addresses.iter().filter(usable);
    let addresses = addresses.map(|status| status.address.address).collect();
    let mut problems = Vec::new();
    // An address of a bridge or a pod is not reachable from outside.
    let own = |status: &&AddressStatus| facts.wanted_links.contains_key(&status.link) && usable(status);
    if facts.addresses.iter().find(own).is_none() {
        problems.push("no interface has an address".to_owned());
    }
    let there = |wanted: &&AddressSpec| {
        facts
            .addresses
            .iter()
            .any(|found| found.link == wanted.link && found.address == wanted.address)
    };
    for missing in facts.wanted_addresses.iter().filter(|wanted| !there(wanted)) {
        problems.push(format!(
            "address {} is not on {} yet",
            missing.address, missing.link
        ));
    }
    let found = |wanted: &&RouteSpec| {
        facts
            .routes
            .iter()
            .any(|r| r.link == wanted.link && r.to == wanted.to)
    };
    for missing in facts.wanted_routes.iter().filter(|wanted| !found(wanted)) {
        problems.push(format!(
            "the route to {} on {} is not there yet",
            missing.to, missing.link
        ));
    }
    // Not a reason to call the node unreachable: the address it was asked for may well be on another interface.
    let ready = problems.is_empty();
    let listed = facts
        .config
        .iter()
        .flat_map(|config| &config.machine.network.interfaces);
    for entry in listed.filter(|entry| select(entry, &facts.links).is_none()) {
        let name = entry.name.as_ref().map(ToString::to_string);
        let selector = name
            .or(entry.mac_address.map(|mac| mac.to_string()))
            .unwrap_or_default();
        problems.push(format!(
            "there is no interface {selector}; see LinkStatus for those there are"
        ));
    }
    problems.extend(facts.wanted_links.iter().filter_map(|(name, spec)| {
        let (asked, status) = (spec.mtu?, facts.links.get(name)?);
        let cannot = status.refused_mtu == Some(asked) || status.max_mtu.is_some_and(|most| most < asked);
        cannot.then(|| {
            format!(
                "{name} cannot take packets of {asked} bytes; it takes {}",
                status.mtu
            )
        })
    }));
    let remarks = facts.leases.iter().flat_map(|(link, lease)| {
        let server = lease.server;
        let sentence = move |remark| format!("the DHCP server {server} on {link}: {remark}");
        lease.remarks.iter().map(sentence)
    });
    let remarks = remarks.collect();
    let default = facts
        .routes
        .iter()
        .filter(|route| route.to.is_default())
        .min_by_key(|route| route.metric);
    let default_route = default.map(|route| match route.via {
        Some(via) => format!("{via} on {}", route.link),
        None => route.link.clone(),
    });
    NetworkStatus {
        ready,
        addresses,
        default_route,
        problems,
        remarks,
    }
}

fn is_usable(address: std::net::IpAddr) -> bool {
    let link_local = match address {
        std::net::IpAddr::V4(v4) => v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !link_local
}

#[async_trait]
impl Controller for NetworkHealth {
    fn name(&self) -> &'static str {
        "network-health"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            LinkStatus::KIND,
            LinkSpec::KIND,
            DhcpLease::KIND,
            AddressStatus::KIND,
            RouteStatus::KIND,
            AddressSpec::KIND,
            RouteSpec::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[NetworkStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        fn values<R: Resource>(store: &Store) -> Vec<R> {
            store.list::<R>().into_iter().map(|(_, value)| value).collect()
        }
        let facts = Facts {
            config: store.get(NODE),
            links: store.list().into_iter().collect(),
            wanted_links: store.list().into_iter().collect(),
            leases: store.list().into_iter().collect(),
            addresses: values(store),
            routes: values(store),
            wanted_addresses: values(store),
            wanted_routes: values(store),
        };
        store.put(self.name(), NODE, summary(&facts))?;
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::{config, links};
    use super::*;

    fn address(link: &str, text: &str) -> AddressStatus {
        AddressStatus {
            link: link.into(),
            address: text.parse().unwrap(),
            ours: true,
        }
    }

    fn route(metric: u32) -> RouteStatus {
        let to = "0.0.0.0/0".parse().unwrap();
        RouteStatus {
            link: "eth0".into(),
            to,
            via: "10.0.0.1".parse().ok(),
            metric,
            ours: true,
        }
    }

    #[test]
    fn an_address_of_its_own_makes_a_node_reachable() {
        let none = Facts {
            addresses: vec![
                address("lo", "127.0.0.1/8"),
                address("lo", "10.96.0.10/32"),
                address("eth0", "fe80::1/64"),
                address("cni0", "10.244.0.1/24"),
            ],
            links: links(),
            wanted_links: ["eth0", "lo"]
                .map(|name| (name.to_owned(), LinkSpec::default()))
                .into(),
            ..Facts::default()
        };
        assert_eq!(summary(&none).problems, ["no interface has an address"]);
        let some = Facts {
            addresses: vec![address("eth0", "10.0.0.2/24")],
            routes: vec![route(9), route(5)],
            ..none
        };
        let status = summary(&some);
        assert!(status.ready && status.problems.is_empty());
        assert_eq!(
            status.addresses,
            ["10.0.0.2".parse::<std::net::IpAddr>().unwrap()]
        );
        assert_eq!(status.default_route.as_deref(), Some("10.0.0.1 on eth0"));
    }

    #[test]
    fn missing_addresses_and_routes_are_reported() {
        let wanted = AddressSpec {
            link: "eth1".into(),
            address: "10.0.1.2/24".parse().unwrap(),
        };
        let gateway = RouteSpec {
            link: "eth0".into(),
            to: "0.0.0.0/0".parse().unwrap(),
            via: None,
            on_link: false,
            metric: 1,
        };
        let facts = Facts {
            addresses: vec![address("eth0", "10.0.0.2/24")],
            wanted_addresses: vec![wanted],
            wanted_routes: vec![gateway],
            config: Some(config("{name: eth9, dhcp: true}")),
            links: links(),
            wanted_links: BTreeMap::from([("eth0".into(), LinkSpec::default())]),
            ..Facts::default()
        };
        let status = summary(&facts);
        assert!(!status.ready);
        assert_eq!(
            status.problems,
            [
                "address 10.0.1.2/24 is not on eth1 yet",
                "the route to 0.0.0.0/0 on eth0 is not there yet",
                "there is no interface eth9; see LinkStatus for those there are",
            ]
        );
    }

    #[test]
    fn limits_of_hardware_and_mistakes_of_servers_are_reported_without_waiting() {
        let spec = |mtu| LinkSpec {
            mtu: Some(mtu),
            ..LinkSpec::default()
        };
        let mut links = links();
        links.get_mut("eth0").unwrap().max_mtu = Some(1500);
        links.get_mut("eth1").unwrap().refused_mtu = Some(9000);
        let remarked = DhcpLease {
            remarks: vec!["no network mask".into()],
            ..super::super::spec::tests::lease("10.0.0.2/24", "10.0.0.1")
        };
        let facts = Facts {
            addresses: vec![address("eth0", "10.0.0.2/24")],
            links,
            wanted_links: [("eth0", 9000), ("eth1", 9000), ("br0", 1400)]
                .map(|(name, mtu)| (name.to_owned(), spec(mtu)))
                .into(),
            leases: BTreeMap::from([("eth0".into(), remarked)]),
            ..Facts::default()
        };
        let status = summary(&facts);
        assert!(status.ready);
        assert_eq!(
            status.problems,
            [
                "eth0 cannot take packets of 9000 bytes; it takes 1500",
                "eth1 cannot take packets of 9000 bytes; it takes 1500",
            ]
        );
        assert_eq!(
            status.remarks,
            ["the DHCP server 10.0.2.2 on eth0: no network mask"]
        );
    }
}
