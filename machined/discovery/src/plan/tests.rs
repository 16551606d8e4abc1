use machine_config::value::IpPrefix;

use super::*;

fn link(kind: LinkKind, carrier: bool) -> LinkStatus {
    LinkStatus {
        index: 2,
        mac_address: None,
        mtu: 1500,
        max_mtu: None,
        refused_mtu: None,
        up: true,
        carrier,
        kind,
        ipv6: None,
    }
}

fn address(link: &str, address: &str) -> AddressStatus {
    AddressStatus {
        link: link.to_owned(),
        address: address.parse().unwrap(),
        ours: true,
    }
}

#[test]
fn a_node_is_announced_where_others_are_and_never_by_an_address_that_moves() {
    let virtual_link = |driver: &str| LinkKind::Virtual {
        driver: driver.to_owned(),
    };
    let links = [
        ("eth0", link(LinkKind::Ethernet, true)),
        ("eth1", link(LinkKind::Ethernet, false)),
        ("eth2", link(LinkKind::Ethernet, true)),
        ("lo", link(LinkKind::Loopback, true)),
        ("cni0", link(virtual_link("bridge"), true)),
        ("mesh", link(virtual_link("wireguard"), true)),
        ("v0", link(virtual_link("veth"), true)),
        ("other", link(LinkKind::Ethernet, true)),
    ]
    .map(|(name, link)| (name.to_owned(), link));
    let managed = ["eth0", "eth1", "eth2", "lo", "cni0", "mesh", "v0"].map(str::to_owned);
    let addresses = [
        address("eth0", "fe80::1/64"),
        address("eth0", "2001:db8::1/64"),
        address("eth0", "10.0.0.5/32"),
        address("eth0", "10.0.0.7/24"),
        address("eth0", "10.0.0.8/24"),
        address("eth2", "169.254.3.4/16"),
        address("v0", "192.0.2.7/24"),
    ];
    let mut config = crate::controller::tests::config("node1", "home");
    config.cluster.virtual_ip = Some("10.0.0.5".parse().unwrap());
    let hostname = "node1".parse().unwrap();
    let mut known = Known {
        config: Some(&config),
        member: None,
        hostname: &hostname,
        links: &links,
        managed: &managed,
        addresses: &addresses,
    };
    let said = |known: &Known<'_>| -> Vec<(String, NodeRole, String)> {
        let facts = facts(known).unwrap();
        let shown = |(link, _), fact: Facts| {
            let said = fact.announcement.unwrap();
            let addresses: Vec<_> = said.addresses.iter().map(ToString::to_string).collect();
            (link, said.role, addresses.join(" "))
        };
        facts.into_iter().map(|(link, fact)| shown(link, fact)).collect()
    };
    let expected = |role| {
        [
            ("eth0", "10.0.0.7 10.0.0.8 2001:db8::1"),
            ("eth2", "169.254.3.4"),
            ("v0", "192.0.2.7"),
        ]
        .map(|(link, addresses)| (link.to_owned(), role, addresses.to_owned()))
    };
    assert_eq!(said(&known), expected(NodeRole::Worker));
    known.config = None;
    let mut maintenance = expected(NodeRole::Maintenance);
    maintenance[0].2 = "10.0.0.5 10.0.0.7 10.0.0.8 2001:db8::1".to_owned();
    assert_eq!(said(&known), maintenance);
    let mut off = config.clone();
    off.cluster.discovery.mdns = false;
    known.config = Some(&off);
    assert_eq!(facts(&known).unwrap(), BTreeMap::new());
}

#[test]
fn a_cluster_is_told_by_its_identity_and_else_by_its_authority() {
    let mut one = crate::controller::tests::config("node1", "home");
    let same = crate::controller::tests::config("node2", "home");
    let other = crate::controller::tests::config("node1", "elsewhere");
    let tag = |config: &MachineConfig| cluster_of(config).unwrap().unwrap();
    assert_eq!(tag(&one), tag(&same));
    assert_ne!(tag(&one), tag(&other));
    let by_identity = tag(&one);
    one.cluster.id = None;
    assert_ne!(tag(&one), by_identity);
    one.machine.role = Role::Standalone;
    assert_eq!(cluster_of(&one).unwrap(), None);
}

#[test]
fn each_node_is_a_peer_once_by_its_nearest_addresses() {
    let said = |node: &str, role, addresses: &[&str]| Announcement {
        label: node.to_owned(),
        node: node.parse().unwrap(),
        cluster: None,
        role,
        port: 50000,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    };
    let heard = [
        said("node2", NodeRole::ControlPlane, &["192.0.2.8", "10.0.0.8"]),
        said("node2", NodeRole::ControlPlane, &["10.0.0.8", "fe80::8"]),
        said("node1", NodeRole::Worker, &["10.0.0.7"]),
        said("node3", NodeRole::Worker, &["fe80::9"]),
        said("node4", NodeRole::Worker, &["10.0.0.10"]),
    ];
    let own: [IpPrefix; 1] = ["10.0.0.7/24".parse().unwrap()];
    let found = peers("node1", &own, heard.iter());
    let shown: Vec<_> = found
        .iter()
        .map(|(id, peer)| {
            (
                id.as_str(),
                peer.control_plane,
                peer.addresses.len(),
                peer.addresses[0].to_string(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("mdns/node2", true, 2, "10.0.0.8".to_owned()),
            ("mdns/node4", false, 1, "10.0.0.10".to_owned())
        ]
    );
    let many: Vec<_> = (0..500)
        .map(|n| said(&format!("n{n}"), NodeRole::Worker, &["10.0.0.9"]))
        .collect();
    assert_eq!(peers("node1", &own, many.iter()).len(), MOST);
}
