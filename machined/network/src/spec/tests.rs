use std::collections::BTreeMap;

use machine_config::MachineConfig;
use machine_config::value::MacAddress;
use state::kinds::{ContainerMode, Dhcp6Lease, DhcpLease, DhcpSpec, LeaseRoute, LinkKind, LinkStatus};
use state::testkit::settle;

use super::super::plan::Desired;
use super::super::{from_config, from_leases};
use super::*;

struct Wanted {
    desired: Desired,
    dhcp: BTreeMap<String, DhcpSpec>,
}

fn wanted(
    config: Option<&MachineConfig>,
    links: &BTreeMap<String, LinkStatus>,
    leases: &BTreeMap<String, DhcpLease>,
) -> Wanted {
    all_wanted(config, links, leases, &BTreeMap::new())
}

fn all_wanted(
    config: Option<&MachineConfig>,
    links: &BTreeMap<String, LinkStatus>,
    leases: &BTreeMap<String, DhcpLease>,
    leases6: &BTreeMap<String, Dhcp6Lease>,
) -> Wanted {
    let (asked, dhcp) = from_config::asked(config, None, links);
    let mut all = from_leases::contributions(&dhcp, links, leases, leases6);
    all.push(("config".into(), asked));
    Wanted {
        desired: merge(&all),
        dhcp,
    }
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
    let mut text = state::testkit::config().to_yaml_with_secrets();
    text.push_str(&format!(
        "  network:\n    interfaces: [{interfaces}]\n    nameservers: [192.0.2.53]\n"
    ));
    machine_config::parse(&text).unwrap()
}

#[test]
fn without_a_config_every_interface_uses_dhcp() {
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
    let found = wanted(Some(&state::testkit::config()), &links(), &BTreeMap::new());
    assert_eq!(found.dhcp.len(), 2);
    assert_eq!(found.dhcp["eth0"].hostname.as_ref().unwrap().as_str(), "node1");
}

#[test]
fn an_address_by_dhcpv6_has_a_full_prefix() {
    let leased = Dhcp6Lease {
        address: "2001:db8::7".parse().ok(),
        ..Dhcp6Lease::default()
    };
    let leases6 = BTreeMap::from([("eth0".into(), leased.clone()), ("br0".into(), leased)]);
    let found = all_wanted(None, &links(), &BTreeMap::new(), &leases6).desired;
    let shown: Vec<_> = found
        .addresses
        .iter()
        .map(|spec| format!("{} {}", spec.link, spec.address))
        .collect();
    assert_eq!(shown, ["eth0 2001:db8::7/128"]);
}

#[test]
fn routers_are_accepted_unless_a_parameter_says_otherwise() {
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
fn static_addresses_are_set_on_the_named_interface_only() {
    let text = "{name: eth1, mtu: 9000, addresses: [10.0.0.2/24], routes: [{to: 0.0.0.0/0, via: 10.0.0.1}]}";
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
fn an_obsolete_lease_is_ignored() {
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

#[tokio::test]
async fn parts_contribute_by_themselves_and_take_back_what_is_theirs() {
    let store = Store::new();
    store.put("links", "eth0", link(2, LinkKind::Ethernet)).unwrap();
    store
        .put("dhcp", "eth0", lease("10.0.2.15/24", "10.0.2.2"))
        .unwrap();
    let (mut config, mut leases) = (from_config::FromConfig, from_leases::FromLeases);
    settle(&store, &mut [&mut config, &mut leases, &mut Specs])
        .await
        .unwrap();
    assert!(store.get::<AddressSpec>("eth0/10.0.2.15/24").is_some());
    store.remove::<DhcpLease>("dhcp", "eth0").unwrap();
    settle(&store, &mut [&mut config, &mut leases, &mut Specs])
        .await
        .unwrap();
    let names: Vec<String> = store
        .list::<NetworkContribution>()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["config"]);
    assert_eq!(store.list::<AddressSpec>(), []);
    assert_eq!(store.list::<LinkSpec>().len(), 1);
}

#[test]
fn a_container_keeps_the_addresses_that_its_engine_gave_it() {
    let container = ContainerMode {
        interfaces: vec!["eth0".into()],
        ..ContainerMode::default()
    };
    let virtual_link = |index| {
        let kind = LinkKind::Virtual {
            driver: "veth".into(),
        };
        link(index, kind)
    };
    let links = [
        ("lo", link(1, LinkKind::Loopback)),
        ("eth0", virtual_link(2)),
        ("veth1", virtual_link(3)),
    ];
    let links = links.map(|(name, link)| (name.to_owned(), link)).into();
    let (asked, dhcp) = from_config::asked(None, Some(&container), &links);
    assert_eq!(asked.links.keys().collect::<Vec<_>>(), ["eth0", "lo"]);
    assert!(dhcp.is_empty() && asked.addresses.is_empty());
    let (_, dhcp) = from_config::asked(
        Some(&config("{name: eth0, dhcp: true}")),
        Some(&container),
        &links,
    );
    assert!(dhcp.contains_key("eth0"), "a config that says so is obeyed");
}
