//! Turns the machine config and the leases into what should be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::{Interface, ROUTE_METRIC};
use machine_config::value::IpPrefix;

use super::plan::Desired;
use super::resources::{
    AddressSpec, Dhcp6Lease, DhcpLease, DhcpSpec, LinkKind, LinkSpec, LinkStatus, RouteSpec, address_id,
    route_id,
};
use crate::config::CONFIG_ID;
use crate::controller::{Action, Controller, ControllerError};
use crate::resource::{Resource, Store};

/// The smallest packet size a DHCP server may talk us into. With a smaller one the kernel takes IPv6 off the interface.
pub(super) const LEAST_DHCP_MTU: u32 = 1280;

/// Says what the network should be. Sole owner of `LinkSpec`, `AddressSpec`, `RouteSpec` and `DhcpSpec`.
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

/// Tells whether an interface listens to IPv6 routers: all that are looked after do, unless a parameter of the config
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

/// Tells whether a router is in the network of one of the interface's addresses.
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
        let config = store.get::<MachineConfig>(CONFIG_ID);
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
pub(super) mod tests {
    use machine_config::value::MacAddress;

    use super::super::resources::LeaseRoute;
    use super::*;

    fn wanted(
        config: Option<&MachineConfig>,
        links: &BTreeMap<String, LinkStatus>,
        leases: &BTreeMap<String, DhcpLease>,
    ) -> Wanted {
        super::wanted(config, links, leases, &BTreeMap::new())
    }

    pub(in super::super) fn link(index: u32, kind: LinkKind) -> LinkStatus {
        let mac_address = Some(MacAddress([2, 0, 0, 0, 0, index as u8]));
        LinkStatus {
            index,
            mac_address,
            mtu: 1500,
            max_mtu: None,
            refused_mtu: None,
            up: true,
            carrier: true,
            kind,
            ipv6: None,
        }
    }

    pub(in super::super) fn links() -> BTreeMap<String, LinkStatus> {
        let bridge = LinkStatus {
            mac_address: Some(MacAddress([2, 0, 0, 0, 0, 2])),
            ..link(
                7,
                LinkKind::Virtual {
                    driver: "bridge".into(),
                },
            )
        };
        BTreeMap::from([
            ("lo".into(), link(1, LinkKind::Loopback)),
            ("eth0".into(), link(2, LinkKind::Ethernet)),
            ("eth1".into(), link(3, LinkKind::Ethernet)),
            ("br0".into(), bridge),
        ])
    }

    pub(in super::super) fn lease(address: &str, router: &str) -> DhcpLease {
        let route = LeaseRoute {
            to: "0.0.0.0/0".parse().unwrap(),
            via: router.parse().ok(),
        };
        DhcpLease {
            address: address.parse().unwrap(),
            routes: vec![route],
            nameservers: vec!["10.0.2.3".parse().unwrap()],
            search: vec!["example.org".parse().unwrap()],
            time_servers: vec![],
            hostname: "given".parse().ok(),
            mtu: Some(1400),
            server: "10.0.2.2".parse().unwrap(),
            seconds: 3600,
            remarks: vec![],
        }
    }

    /// A config with these lines under `interfaces:`.
    pub(in super::super) fn config(interfaces: &str) -> MachineConfig {
        let mut text = crate::config::tests::config().to_yaml_with_secrets();
        text.push_str(&format!(
            "  network:\n    interfaces: [{interfaces}]\n    nameservers: [192.0.2.53]\n"
        ));
        machine_config::parse(&text).unwrap()
    }

    #[test]
    fn without_a_config_every_cable_is_tried() {
        let found = wanted(None, &links(), &BTreeMap::new());
        assert_eq!(found.dhcp.keys().collect::<Vec<_>>(), ["eth0", "eth1"]);
        assert_eq!(
            found.desired.links.keys().collect::<Vec<_>>(),
            ["eth0", "eth1", "lo"]
        );
        assert!(found.desired.addresses.is_empty());
    }

    #[test]
    fn a_config_without_interfaces_is_the_same_and_gives_its_name() {
        let found = wanted(Some(&crate::config::tests::config()), &links(), &BTreeMap::new());
        assert_eq!(found.dhcp.len(), 2);
        assert_eq!(found.dhcp["eth0"].hostname.as_ref().unwrap().as_str(), "node1");
    }

    #[test]
    fn an_address_by_dhcpv6_stands_for_itself() {
        let leased = Dhcp6Lease {
            address: "2001:db8::7".parse().ok(),
            ..Dhcp6Lease::default()
        };
        let leases6 = BTreeMap::from([("eth0".into(), leased.clone()), ("br0".into(), leased)]);
        let found = super::wanted(None, &links(), &BTreeMap::new(), &leases6).desired;
        let shown: Vec<_> = found
            .addresses
            .iter()
            .map(|spec| format!("{} {}", spec.link, spec.address))
            .collect();
        assert_eq!(shown, ["eth0 2001:db8::7/128"]);
    }

    #[test]
    fn routers_are_heard_unless_a_parameter_says_otherwise() {
        let accepts = |sysctl: &str| {
            let mut config = config("{name: eth0, dhcp: true}");
            let zero = machine_config::v1alpha1::SysctlValue("0".to_owned());
            config.machine.sysctls = [(sysctl.parse().unwrap(), zero)].into();
            let links = wanted(Some(&config), &links(), &BTreeMap::new()).desired.links;
            (links["eth0"].accepts_routers, links["lo"].accepts_routers)
        };
        assert_eq!(accepts("net.ipv6.conf.eth1.accept_ra"), (true, false));
        assert_eq!(accepts("net.ipv6.conf.eth0.accept_ra"), (false, false));
    }

    #[test]
    fn a_lease_gives_address_route_and_size() {
        let leases = BTreeMap::from([("eth0".into(), lease("10.0.2.15/24", "10.0.2.2"))]);
        let found = wanted(None, &links(), &leases).desired;
        assert_eq!(found.links["eth0"].mtu, Some(1400));
        assert_eq!(found.addresses[0].address.to_string(), "10.0.2.15/24");
        assert_eq!((found.routes[0].metric, found.routes[0].on_link), (1026, false));
        let two = BTreeMap::from([
            ("eth0".into(), lease("10.0.2.15/24", "10.0.2.2")),
            ("eth1".into(), lease("10.0.3.15/32", "10.0.3.2")),
        ]);
        let routes = wanted(None, &links(), &two).desired.routes;
        assert_eq!(
            (routes[1].metric, routes[1].on_link),
            (1027, true),
            "two default routes need two metrics"
        );
    }

    #[test]
    fn fixed_addresses_are_put_on_the_named_interface_only() {
        let text =
            "{name: eth1, mtu: 9000, addresses: [10.0.0.2/24], routes: [{to: 0.0.0.0/0, via: 10.0.0.1}]}";
        let found = wanted(Some(&config(text)), &links(), &BTreeMap::new());
        assert_eq!(found.dhcp, BTreeMap::new());
        assert_eq!(found.desired.links.keys().collect::<Vec<_>>(), ["eth1", "lo"]);
        assert_eq!(found.desired.links["eth1"].mtu, Some(9000));
        assert_eq!(
            (
                found.desired.routes[0].metric,
                found.desired.routes[0].link.as_str()
            ),
            (1024, "eth1")
        );
    }

    #[test]
    fn a_hardware_address_means_the_real_interface() {
        let found = wanted(
            Some(&config("{macAddress: \"02:00:00:00:00:02\", dhcp: true}")),
            &links(),
            &BTreeMap::new(),
        );
        assert_eq!(found.dhcp.keys().collect::<Vec<_>>(), ["eth0"]);
    }

    #[test]
    fn a_lease_that_is_no_longer_asked_for_gives_nothing() {
        let leases = BTreeMap::from([("eth0".into(), lease("10.0.2.15/24", "10.0.2.2"))]);
        let found = wanted(
            Some(&config("{name: eth0, addresses: [10.0.0.2/24]}")),
            &links(),
            &leases,
        )
        .desired;
        assert_eq!((found.addresses.len(), found.routes.len()), (1, 0));
    }

    #[test]
    fn an_absurd_packet_size_of_a_server_is_ignored() {
        let small = DhcpLease {
            mtu: Some(1279),
            ..lease("10.0.2.15/24", "10.0.2.2")
        };
        assert_eq!(
            wanted(None, &links(), &BTreeMap::from([("eth0".into(), small)]))
                .desired
                .links["eth0"]
                .mtu,
            None
        );
    }
}
