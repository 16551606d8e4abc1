//! Turns the machine config and the leases into what should be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::{Interface, ROUTE_METRIC};
use machine_config::value::IpPrefix;
use state::kinds::network::{address_id, route_id};
use state::kinds::{
    AddressSpec, Dhcp6Lease, DhcpLease, DhcpSpec, LinkKind, LinkSpec, LinkStatus, NODE, RouteSpec,
};
use state::{Action, Controller, ControllerError, Resource, Store};

use super::plan::Desired;

/// The smallest packet size a DHCP server may talk us into. With a smaller one the kernel takes IPv6 off the interface.
pub(super) const LEAST_DHCP_MTU: u32 = 1280;

/// Decides the desired state of the network. Sole owner of `LinkSpec`, `AddressSpec`, `RouteSpec` and `DhcpSpec`.
pub struct Specs;

/// Everything that should be, and who should ask for a lease.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub desired: Desired,
    pub dhcp: BTreeMap<String, DhcpSpec>,
}

/// Decides what should be. Pure.
pub(super) fn wanted(
    config: Option<&MachineConfig>,
    links: &BTreeMap<String, LinkStatus>,
    leases: &BTreeMap<String, DhcpLease>,
    leases6: &BTreeMap<String, Dhcp6Lease>,
) -> Wanted {
    let mut wanted = Wanted::default();
    for name in links
        .iter()
        .filter(|(_, link)| link.kind == LinkKind::Loopback)
        .map(|(name, _)| name)
    {
        wanted.desired.links.insert(name.clone(), LinkSpec::default());
    }
    let interfaces = config.map_or(&[][..], |config| &config.machine.network.interfaces);
    let by_default = Interface {
        dhcp: true,
        ..Interface::default()
    };
    // Without a word about interfaces, whatever cable is plugged in is the right one.
    let chosen: Vec<(&String, &Interface)> = match interfaces {
        [] => links
            .iter()
            .filter(|(_, link)| link.kind == LinkKind::Ethernet)
            .map(|(name, _)| (name, &by_default))
            .collect(),
        listed => listed
            .iter()
            .filter_map(|one| Some((select(one, links)?, one)))
            .collect(),
    };
    let hostname = config.and_then(|config| config.machine.hostname.clone());
    for (name, interface) in chosen {
        let lease = leases.get(name).filter(|_| interface.dhcp);
        let index = links.get(name).map_or(0, |link| link.index);
        let accepts_routers = accepts_routers(config, name);
        add(
            &mut wanted.desired,
            name,
            index,
            accepts_routers,
            interface,
            lease,
        );
        // Where it is on the link, if anywhere, is what routers say: the address stands for itself.
        let leased6 = leases6.get(name).and_then(|lease| lease.address);
        wanted
            .desired
            .addresses
            .extend(leased6.map(|address| AddressSpec {
                link: name.clone(),
                address: IpPrefix {
                    address: address.into(),
                    length: 128,
                },
            }));
        if interface.dhcp {
            wanted.dhcp.insert(
                name.clone(),
                DhcpSpec {
                    hostname: hostname.clone(),
                },
            );
        }
    }
    wanted
}

/// Returns true if an interface listens to IPv6 routers: all that are looked after do, unless a parameter of the config
/// says otherwise. Those of pods and bridges are not looked after.
fn accepts_routers(config: Option<&MachineConfig>, link: &str) -> bool {
    let parameter = format!("net.ipv6.conf.{}.accept_ra", link.replace('.', "/"));
    !config.is_some_and(|config| {
        config
            .machine
            .sysctls
            .keys()
            .any(|name| name.as_str() == parameter)
    })
}

/// Finds the interface that an entry of the config is about. Software may share a hardware address with the real
/// interface under it (bridge, VLAN), so the real one goes first.
pub(super) fn select<'a>(entry: &Interface, links: &'a BTreeMap<String, LinkStatus>) -> Option<&'a String> {
    if let Some(name) = &entry.name {
        return links.get_key_value(name.as_str()).map(|(name, _)| name);
    }
    let same = links
        .iter()
        .filter(|(_, link)| link.mac_address.is_some() && link.mac_address == entry.mac_address);
    same.min_by_key(|(_, link)| link.kind != LinkKind::Ethernet)
        .map(|(name, _)| name)
}

fn add(
    desired: &mut Desired,
    name: &str,
    index: u32,
    accepts_routers: bool,
    interface: &Interface,
    lease: Option<&DhcpLease>,
) {
    let leased_mtu = lease
        .and_then(|lease| lease.mtu)
        .filter(|mtu| *mtu >= LEAST_DHCP_MTU);
    desired.links.insert(
        name.to_owned(),
        LinkSpec {
            mtu: interface.mtu.or(leased_mtu),
            accepts_routers,
        },
    );
    let addresses: Vec<IpPrefix> = interface
        .addresses
        .iter()
        .copied()
        .chain(lease.map(|lease| lease.address))
        .collect();
    let on_link = |via: Option<IpAddr>| via.is_some_and(|via| !reached(via, &addresses));
    let fixed = interface
        .routes
        .iter()
        .map(|route| (route.to, route.via, route.metric.unwrap_or(ROUTE_METRIC)));
    // Each interface its own metric: the kernel takes only one route to a network per metric. Fixed ones go first.
    let leased_metric = ROUTE_METRIC + index;
    let leased = lease
        .iter()
        .flat_map(|lease| &lease.routes)
        .map(|route| (route.to, route.via, leased_metric));
    for (to, via, metric) in fixed.chain(leased) {
        let route = RouteSpec {
            link: name.to_owned(),
            to,
            via,
            on_link: on_link(via),
            metric,
        };
        if !desired.routes.contains(&route) {
            desired.routes.push(route);
        }
    }
    for address in addresses {
        let address = AddressSpec {
            link: name.to_owned(),
            address,
        };
        if !desired.addresses.contains(&address) {
            desired.addresses.push(address);
        }
    }
}

/// Returns true if a router is in the network of one of the interface's addresses.
fn reached(via: IpAddr, addresses: &[IpPrefix]) -> bool {
    let link_local = matches!(via, IpAddr::V6(v6) if v6.is_unicast_link_local());
    link_local || addresses.iter().any(|address| address.contains(via))
}

#[async_trait]
impl Controller for Specs {
    fn name(&self) -> &'static str {
        "network-specs"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            LinkStatus::KIND,
            DhcpLease::KIND,
            Dhcp6Lease::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[LinkSpec::KIND, AddressSpec::KIND, RouteSpec::KIND, DhcpSpec::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config = store.get::<MachineConfig>(NODE);
        let links = BTreeMap::from_iter(store.list());
        let leases = BTreeMap::from_iter(store.list());
        let leases6 = BTreeMap::from_iter(store.list());
        let Wanted { desired, dhcp } = wanted(config.as_ref(), &links, &leases, &leases6);
        let address = |spec: AddressSpec| (address_id(&spec.link, spec.address), spec);
        let route = |spec: RouteSpec| (route_id(&spec.link, spec.to, spec.metric, spec.via), spec);
        store.replace(self.name(), desired.addresses.into_iter().map(address).collect())?;
        store.replace(self.name(), desired.routes.into_iter().map(route).collect())?;
        store.replace(self.name(), desired.links.into_iter().collect())?;
        store.replace(self.name(), dhcp.into_iter().collect())?;
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
pub(super) mod tests;
