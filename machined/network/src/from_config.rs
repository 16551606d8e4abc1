//! What the machine config asks of the network.

use std::collections::BTreeMap;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::{Interface, ROUTE_METRIC};
use state::kinds::{
    ContainerMode, ContributedAddress, ContributedRoute, DhcpSpec, LinkKind, LinkSettings, LinkStatus, NODE,
    NetworkContribution, Precedence,
};
use state::{Action, Controller, ControllerError, Resource, Store};

/// The name of the config's contribution.
const CONFIG: &str = "config";

/// Contributes what the machine config asks for, and names the interfaces that ask for a lease. Sole owner of `DhcpSpec`.
pub struct FromConfig;

/// Decides what the config asks for, and who is to ask for a lease. Pure.
pub(super) fn asked(
    config: Option<&MachineConfig>,
    container: Option<&ContainerMode>,
    links: &BTreeMap<String, LinkStatus>,
) -> (NetworkContribution, BTreeMap<String, DhcpSpec>) {
    let mut asked = NetworkContribution::new(Precedence::Config);
    let mut dhcp = BTreeMap::new();
    for (name, _) in links.iter().filter(|(_, link)| link.kind == LinkKind::Loopback) {
        let settings = LinkSettings {
            managed: true,
            ..LinkSettings::default()
        };
        asked.links.insert(name.clone(), settings);
    }
    let by_default = Interface {
        // A container has the addresses that its engine gave it.
        dhcp: container.is_none(),
        ..Interface::default()
    };
    let hostname = config.and_then(|config| config.machine.hostname.clone());
    for (name, interface) in chosen(config, container, &by_default, links) {
        add(&mut asked, name, accepts_routers(config, name), interface);
        if interface.dhcp {
            let hostname = hostname.clone();
            dhcp.insert(name.clone(), DhcpSpec { hostname });
        }
    }
    (asked, dhcp)
}

/// Lists the interfaces that are looked after. If the config names none, whatever cable is plugged in is the right one,
/// and in a container what its engine made.
fn chosen<'a>(
    config: Option<&'a MachineConfig>,
    container: Option<&ContainerMode>,
    by_default: &'a Interface,
    links: &'a BTreeMap<String, LinkStatus>,
) -> Vec<(&'a String, &'a Interface)> {
    let listed = config.map_or(&[][..], |config| &config.machine.network.interfaces);
    if listed.is_empty() {
        let is_right = |name: &String, link: &LinkStatus| match container {
            Some(container) => container.interfaces.contains(name),
            None => link.kind == LinkKind::Ethernet,
        };
        let cables = links.iter().filter(|(name, link)| is_right(name, link));
        return cables.map(|(name, _)| (name, by_default)).collect();
    }
    let found = listed.iter().filter_map(|one| Some((select(one, links)?, one)));
    found.collect()
}

/// Returns true if an interface listens to IPv6 routers: all that are looked after do, unless a parameter of the config
/// says otherwise. Those of pods and bridges are not looked after.
fn accepts_routers(config: Option<&MachineConfig>, link: &str) -> bool {
    let parameter = format!("net.ipv6.conf.{}.accept_ra", link.replace('.', "/"));
    let named = |config: &MachineConfig| {
        config
            .machine
            .sysctls
            .keys()
            .any(|name| name.as_str() == parameter)
    };
    !config.is_some_and(named)
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

fn add(asked: &mut NetworkContribution, name: &str, accepts_routers: bool, interface: &Interface) {
    let settings = LinkSettings {
        managed: true,
        mtu: interface.mtu,
        accepts_routers: Some(accepts_routers),
    };
    asked.links.insert(name.to_owned(), settings);
    let addresses = interface.addresses.iter().map(|&address| ContributedAddress {
        link: name.to_owned(),
        address,
    });
    asked.addresses.extend(addresses);
    let routes = interface.routes.iter().map(|route| ContributedRoute {
        link: name.to_owned(),
        to: route.to,
        via: route.via,
        metric: route.metric.unwrap_or(ROUTE_METRIC),
    });
    asked.routes.extend(routes);
}

#[async_trait]
impl Controller for FromConfig {
    fn name(&self) -> &'static str {
        "network-config"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[MachineConfig::KIND, ContainerMode::KIND, LinkStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[DhcpSpec::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[NetworkContribution::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config = store.get::<MachineConfig>(NODE);
        let container = store.get::<ContainerMode>(NODE);
        let links = BTreeMap::from_iter(store.list());
        let (asked, dhcp) = asked(config.as_ref(), container.as_ref(), &links);
        store.put(self.name(), CONFIG, asked)?;
        store.replace(self.name(), dhcp.into_iter().collect())?;
        Ok(Action::WaitForChange)
    }
}
