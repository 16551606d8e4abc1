//! What DHCP servers say about the network.

use std::collections::BTreeMap;

use async_trait::async_trait;
use machine_config::v1alpha1::ROUTE_METRIC;
use machine_config::value::IpPrefix;
use state::kinds::{
    ContributedAddress, ContributedRoute, Dhcp6Lease, DhcpLease, DhcpSpec, LinkSettings, LinkStatus,
    NetworkContribution, Precedence,
};
use state::{Action, Controller, ControllerError, Resource, Store};

/// The smallest packet size a DHCP server may talk us into. With a smaller one the kernel takes IPv6 off the interface.
pub(super) const LEAST_DHCP_MTU: u32 = 1280;

/// Contributes the leases of interfaces that ask for one.
pub struct FromLeases;

/// Returns what a lease contributes to its interface, which has this number. Pure.
///
/// Each interface has its own metric: the kernel takes only one route to a network per metric. Routes of the config, whose
/// metric is lower, are preferred.
pub(super) fn leased(link: &str, index: u32, lease: &DhcpLease) -> NetworkContribution {
    let mut leased = NetworkContribution::new(Precedence::Lease);
    let settings = LinkSettings {
        mtu: lease.mtu.filter(|mtu| *mtu >= LEAST_DHCP_MTU),
        ..LinkSettings::default()
    };
    leased.links.insert(link.to_owned(), settings);
    leased.addresses.push(ContributedAddress {
        link: link.to_owned(),
        address: lease.address,
    });
    let routes = lease.routes.iter().map(|route| ContributedRoute {
        link: link.to_owned(),
        to: route.to,
        via: route.via,
        metric: ROUTE_METRIC + index,
    });
    leased.routes.extend(routes);
    leased
}

/// Returns what a lease by DHCPv6 contributes. Where the address is on the link, if anywhere, is what routers say: it stands
/// for itself. Pure.
pub(super) fn leased6(link: &str, lease: &Dhcp6Lease) -> NetworkContribution {
    let mut leased = NetworkContribution::new(Precedence::Lease);
    leased
        .addresses
        .extend(lease.address.map(|address| ContributedAddress {
            link: link.to_owned(),
            address: IpPrefix {
                address: address.into(),
                length: 128,
            },
        }));
    leased
}

/// Returns the contributions of all leases, by their names. A lease that is no longer asked for gives nothing. Pure.
pub(super) fn contributions(
    specs: &BTreeMap<String, DhcpSpec>,
    links: &BTreeMap<String, LinkStatus>,
    leases: &BTreeMap<String, DhcpLease>,
    leases6: &BTreeMap<String, Dhcp6Lease>,
) -> Vec<(String, NetworkContribution)> {
    let asked = leases.iter().filter(|(link, _)| specs.contains_key(*link));
    let four = asked.filter_map(|(link, lease)| {
        let index = links.get(link)?.index;
        Some((format!("dhcp/{link}"), leased(link, index, lease)))
    });
    let six = leases6
        .iter()
        .map(|(link, lease)| (format!("dhcp6/{link}"), leased6(link, lease)));
    four.chain(six).collect()
}

#[async_trait]
impl Controller for FromLeases {
    fn name(&self) -> &'static str {
        "network-leases"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            DhcpSpec::KIND,
            DhcpLease::KIND,
            Dhcp6Lease::KIND,
            LinkStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[NetworkContribution::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let all = contributions(
            &BTreeMap::from_iter(store.list()),
            &BTreeMap::from_iter(store.list()),
            &BTreeMap::from_iter(store.list()),
            &BTreeMap::from_iter(store.list()),
        );
        store.replace(self.name(), all)?;
        Ok(Action::WaitForChange)
    }
}
