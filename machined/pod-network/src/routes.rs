//! Which routes lead to the pods of other nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use machine_config::v1alpha1::{Mesh, ROUTE_METRIC};
use machine_config::value::IpPrefix;
use state::kinds::{ClusterMember, ClusterNode, ContributedRoute};

use crate::mesh::{INTERFACE, Key, PORT, Peer};

/// An interface with one of the node's own addresses, and the network that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnAddress {
    /// The interface.
    pub link: String,
    /// The address, with the length of its network's prefix.
    pub address: IpPrefix,
}

/// Routes to the pods of other nodes, and why some have none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    /// The routes.
    pub routes: Vec<ContributedRoute>,
    /// The other ends of the mesh, by node.
    pub peers: BTreeMap<String, Peer>,
    /// What cannot be reached, one sentence each.
    pub problems: Vec<String>,
}

/// Decides the routes from a node with these addresses to the pods of all others. Pure.
///
/// What the cluster says is believed as far as it goes: a route leads into a network of pods, never over what the node has
/// itself, and only by a neighbour or through the mesh.
pub(crate) fn routes(
    member: &ClusterMember,
    own: &[OwnAddress],
    nodes: &[(String, ClusterNode)],
    mesh: Mesh,
) -> Routes {
    let mut found = Routes::default();
    let here = nodes.iter().find(|(name, _)| *name == member.node);
    let is_of_pods = |network: &IpPrefix| member.pods.iter().any(|pods| covers(*pods, *network));
    let mut taken = here.map(|(_, node)| node.pods.clone()).unwrap_or_default();
    taken.retain(is_of_pods);
    // A node that has just come has no addresses for a moment.
    let others = nodes
        .iter()
        .filter(|(name, node)| *name != member.node && !node.addresses.is_empty());
    for (name, node) in others {
        for network in &node.pods {
            let inside = is_of_pods(network);
            let free = !taken.iter().any(|other| overlap(*other, *network));
            if !inside || !free {
                let why = if inside {
                    "it is another node's"
                } else {
                    "it is not one of pods"
                };
                found.problems.push(format!(
                    "the cluster gives node {name} the network {network}, but {why}: there is no route to it"
                ));
                continue;
            }
            let neighbour = neighbour(own, &node.addresses, network.address.is_ipv4());
            let through_mesh = match mesh {
                Mesh::None => false,
                Mesh::Auto => neighbour.is_none(),
                Mesh::Wireguard => true,
            };
            let peer = match mesh {
                Mesh::None => None,
                Mesh::Auto | Mesh::Wireguard => peer(&mut found, own, name, node, nodes),
            };
            // In both cases: what comes from there may come through the mesh.
            if let Some(peer) = peer {
                peer.allowed.push(*network);
                peer.far |= neighbour.is_none();
                if through_mesh {
                    taken.push(*network);
                    found.routes.push(ContributedRoute {
                        link: INTERFACE.to_owned(),
                        to: *network,
                        via: None,
                        metric: ROUTE_METRIC,
                    });
                    continue;
                }
            } else if through_mesh {
                found.problems.push(format!(
                    "the pods of node {name} in {network} cannot be reached: it names no key for the mesh, or another node's; set cluster.network.mesh on all nodes"
                ));
                continue;
            }
            match neighbour {
                Some((link, via)) => {
                    taken.push(*network);
                    found.routes.push(ContributedRoute {
                        link: link.to_owned(),
                        to: *network,
                        via: Some(via),
                        metric: ROUTE_METRIC,
                    });
                }
                None => found.problems.push(format!(
                    "the pods of node {name} in {network} cannot be reached: no address of that node is in a network of this one"
                )),
            }
        }
    }
    found
}

/// Finds a node at the other end of the mesh, or adds it. Returns none if it cannot be one.
fn peer<'a>(
    found: &'a mut Routes,
    own: &[OwnAddress],
    name: &str,
    node: &ClusterNode,
    nodes: &[(String, ClusterNode)],
) -> Option<&'a mut Peer> {
    let named = node.mesh_key.as_ref()?;
    let key = Key::parse(named)?;
    // WireGuard knows a node by its key alone: of two that name the same one, neither is believed.
    let same = |(_, other): &&(String, ClusterNode)| other.mesh_key.as_ref() == Some(named);
    if nodes.iter().filter(same).count() > 1 {
        return None;
    }
    let ours = |address: &&IpAddr| {
        own.iter()
            .any(|own| own.address.address.is_ipv4() == address.is_ipv4())
    };
    let mut addresses = node.addresses.iter();
    let address = addresses.find(ours).or(node.addresses.first())?;
    let peer = found.peers.entry(name.to_owned()).or_insert_with(|| Peer {
        key,
        endpoint: SocketAddr::new(*address, PORT),
        allowed: Vec::new(),
        far: false,
    });
    Some(peer)
}

/// Finds the first address of another node that an interface reaches without a router.
fn neighbour<'a>(own: &'a [OwnAddress], theirs: &[IpAddr], ipv4: bool) -> Option<(&'a str, IpAddr)> {
    let family = theirs.iter().filter(|address| address.is_ipv4() == ipv4);
    family.copied().find_map(|address| {
        let mut reaching = own
            .iter()
            .filter(|own| own.address.contains(address) && own.address.address != address);
        reaching.next().map(|own| (own.link.as_str(), address))
    })
}

/// Returns true if the second network is within the first.
pub(crate) fn covers(outer: IpPrefix, inner: IpPrefix) -> bool {
    outer.length <= inner.length && outer.contains(inner.address)
}

fn overlap(one: IpPrefix, other: IpPrefix) -> bool {
    covers(one, other) || covers(other, one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::controller::tests::member;

    fn node(pods: &[&str], addresses: &[&str]) -> ClusterNode {
        ClusterNode {
            mesh_key: None,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            pods: pods.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn own(link: &str, address: &str) -> OwnAddress {
        OwnAddress {
            link: link.to_owned(),
            address: address.parse().unwrap(),
        }
    }

    fn shown(routes: &Routes) -> Vec<String> {
        let route =
            |route: &ContributedRoute| format!("{} via {} on {}", route.to, route.via.unwrap(), route.link);
        routes.routes.iter().map(route).collect()
    }

    #[test]
    fn pods_of_each_neighbour_are_reached_by_its_address() {
        let mut member = member("node1");
        member.pods.push("fd01::/48".parse().unwrap());
        let own = [own("eth0", "192.168.1.7/24"), own("eth0", "2001:db8::7/64")];
        let nodes = [
            ("node1".to_owned(), node(&["10.244.1.0/24"], &["192.168.1.7"])),
            (
                "node2".to_owned(),
                node(
                    &["10.244.2.0/24", "fd01:0:0:2::/64"],
                    &["192.168.1.8", "2001:db8::8"],
                ),
            ),
            ("node3".to_owned(), node(&[], &["192.168.1.9"])),
            ("node4".to_owned(), node(&["10.244.4.0/24"], &["10.9.9.9"])),
            ("node5".to_owned(), node(&["10.244.5.0/24"], &[])),
        ];
        let routes = routes(&member, &own, &nodes, Mesh::None);
        assert_eq!(
            shown(&routes),
            [
                "10.244.2.0/24 via 192.168.1.8 on eth0",
                "fd01:0:0:2::/64 via 2001:db8::8 on eth0"
            ]
        );
        assert_eq!(routes.problems.len(), 1, "{:?}", routes.problems);
        assert!(routes.problems[0].starts_with("the pods of node node4 in 10.244.4.0/24 cannot be reached"));
    }

    #[test]
    fn no_node_takes_what_is_not_of_pods_or_another_s() {
        let member = member("node1");
        let own = [own("eth0", "192.168.1.7/24")];
        let nodes = [
            ("node1".to_owned(), node(&["10.244.1.0/24"], &["192.168.1.7"])),
            (
                "node2".to_owned(),
                node(&["0.0.0.0/0", "10.244.1.0/25"], &["192.168.1.8"]),
            ),
            (
                "node3".to_owned(),
                node(&["10.244.3.0/24"], &["192.168.1.7", "192.168.1.9"]),
            ),
            ("node4".to_owned(), node(&["10.244.3.128/25"], &["192.168.1.10"])),
        ];
        let routes = routes(&member, &own, &nodes, Mesh::None);
        assert_eq!(shown(&routes), ["10.244.3.0/24 via 192.168.1.9 on eth0"]);
        assert_eq!(routes.problems.len(), 3, "{:?}", routes.problems);
    }

    #[test]
    fn the_mesh_leads_to_nodes_in_other_networks_or_to_all() {
        let member = member("node1");
        let own = [own("eth0", "192.168.1.7/24")];
        let key = |byte: u8| Some(Key([byte; 32]).to_string());
        let with = |key: Option<String>, pods, address| ClusterNode {
            mesh_key: key,
            ..node(&[pods], &[address])
        };
        let nodes = [
            ("node1".to_owned(), with(key(1), "10.244.1.0/24", "192.168.1.7")),
            ("node2".to_owned(), with(key(2), "10.244.2.0/24", "192.168.1.8")),
            ("node3".to_owned(), with(key(3), "10.244.3.0/24", "10.9.9.9")),
            ("node4".to_owned(), with(None, "10.244.4.0/24", "10.9.9.10")),
            ("node5".to_owned(), with(key(1), "10.244.5.0/24", "10.9.9.11")),
            (
                "node6".to_owned(),
                with(Some("no key".to_owned()), "10.244.6.0/24", "192.168.1.9"),
            ),
        ];
        let by = |mesh| {
            let found = routes(&member, &own, &nodes, mesh);
            let route = |route: &ContributedRoute| format!("{} {}", route.to, route.link);
            let shown: Vec<String> = found.routes.iter().map(route).collect();
            let peers: Vec<String> = found
                .peers
                .iter()
                .map(|(name, peer)| format!("{name} {} {}", peer.endpoint, peer.far))
                .collect();
            (shown, peers, found.problems.len())
        };
        let text = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let peers = text(&["node2 192.168.1.8:51820 false", "node3 10.9.9.9:51820 true"]);
        let auto = text(&[
            "10.244.2.0/24 eth0",
            "10.244.3.0/24 wg-mesh",
            "10.244.6.0/24 eth0",
        ]);
        assert_eq!(by(Mesh::Auto), (auto, peers.clone(), 2));
        let all = text(&["10.244.2.0/24 wg-mesh", "10.244.3.0/24 wg-mesh"]);
        assert_eq!(by(Mesh::Wireguard), (all, peers, 3));
        let none = text(&["10.244.2.0/24 eth0", "10.244.6.0/24 eth0"]);
        assert_eq!(by(Mesh::None), (none, Vec::new(), 3));
    }

    fn any_prefix() -> impl Strategy<Value = IpPrefix> {
        (any::<u32>(), 0_u8..=32).prop_map(|(bits, length)| {
            let address = std::net::Ipv4Addr::from_bits(bits & 0x0aff_ffff).into();
            IpPrefix { address, length }.network()
        })
    }

    proptest! {
        /// Whatever the cluster says, no route leaves the networks of pods, covers the node's own pods or one another.
        #[test]
        fn what_the_cluster_says_never_takes_the_node_off_its_network(
            nodes in proptest::collection::vec((0_u8..6, proptest::collection::vec(any_prefix(), 0..3), any::<[u8; 4]>()), 0..8)
        ) {
            let member = member("node0");
            let nodes: Vec<_> = nodes.into_iter().map(|(name, pods, address)| {
                let address = std::net::Ipv4Addr::new(192, 168, 1, address[3]).into();
                (format!("node{name}"), ClusterNode { addresses: vec![address], pods, mesh_key: None })
            }).collect();
            let found = routes(&member, &[own("eth0", "192.168.1.7/24")], &nodes, Mesh::None);
            let here: Vec<_> = nodes.iter().find(|(name, _)| name == "node0").map(|(_, node)| node.pods.clone()).unwrap_or_default();
            for (index, route) in found.routes.iter().enumerate() {
                prop_assert!(covers(member.pods[0], route.to));
                prop_assert!(route.via != Some("192.168.1.7".parse().unwrap()));
                prop_assert!(!here.iter().any(|own| overlap(*own, route.to)));
                prop_assert!(!found.routes[..index].iter().any(|other| overlap(other.to, route.to)));
            }
        }
    }
}
