//! Which nodes the cluster has, and where they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use backend::{BackendError, Peers};
use kubernetes::cluster::is_link_local;
use node::Node;
use state::Store;
use state::kinds::{
    AddressStatus, ClusterMember, ClusterNode, ClusterPeer, HostNameStatus, NODE, NetworkStatus,
    VirtualIpStatus,
};

/// The most names in an error.
const NAMES: usize = 20;

pub(super) struct NodePeers {
    store: Store,
}

impl NodePeers {
    pub(super) fn new(node: &Node) -> Self {
        Self {
            store: node.store.clone(),
        }
    }
}

impl Peers for NodePeers {
    fn find(&self, node: &str) -> Result<Vec<SocketAddr>, BackendError> {
        find(&nodes(&self.store), node)
    }

    fn is_node(&self, address: IpAddr) -> bool {
        let own = || self.store.list::<AddressStatus>();
        address.is_loopback()
            || own().iter().any(|(_, own)| own.address.address == address)
            || self
                .store
                .get::<VirtualIpStatus>(NODE)
                .is_some_and(|status| status.address == address)
            || nodes(&self.store).values().flatten().any(|own| *own == address)
    }
}

/// Collects the nodes of the cluster, this one included, and their own addresses: best first. What Kubernetes knows goes
/// before what nodes say of themselves.
fn nodes(store: &Store) -> BTreeMap<String, Vec<IpAddr>> {
    let member = store.get::<ClusterMember>(NODE);
    let virtual_ip = store.get::<VirtualIpStatus>(NODE).map(|status| status.address);
    let inner: Vec<_> = member
        .iter()
        .flat_map(|member| member.pods.iter().chain(&member.services).copied())
        .collect();
    let own = |address: &IpAddr| {
        let special = address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || is_link_local(*address);
        !special && virtual_ip != Some(*address) && !inner.iter().any(|network| network.contains(*address))
    };
    let here = match member {
        Some(member) => Some((member.node, member.addresses)),
        None => store.get::<HostNameStatus>(NODE).map(|status| {
            let network: NetworkStatus = store.get(NODE).unwrap_or_default();
            (status.name.to_string(), network.addresses)
        }),
    };
    let told = store
        .list::<ClusterNode>()
        .into_iter()
        .map(|(name, node)| (name, node.addresses));
    let found = store
        .list::<ClusterPeer>()
        .into_iter()
        .map(|(_, peer)| (peer.node, peer.addresses));
    let mut nodes: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (name, addresses) in here.into_iter().chain(told).chain(found) {
        let addresses: Vec<IpAddr> = addresses.into_iter().filter(own).collect();
        if !addresses.is_empty() {
            nodes.entry(name).or_insert(addresses);
        }
    }
    nodes
}

/// Finds a node by its name, or by one of its addresses, which is then the only one that is returned.
fn find(nodes: &BTreeMap<String, Vec<IpAddr>>, asked: &str) -> Result<Vec<SocketAddr>, BackendError> {
    let place = |address: &IpAddr| SocketAddr::new(*address, api::PORT);
    if let Ok(address) = asked.parse::<IpAddr>() {
        let address = address.to_canonical();
        if nodes.values().flatten().any(|own| *own == address) {
            return Ok(vec![place(&address)]);
        }
    } else if let Some(addresses) = nodes.get(&asked.to_ascii_lowercase()) {
        return Ok(addresses.iter().map(place).collect());
    }
    let mut names: Vec<String> = nodes
        .iter()
        .map(|(name, addresses)| match addresses.first() {
            Some(address) => format!("{name} ({address})"),
            None => name.clone(),
        })
        .take(NAMES)
        .collect();
    if nodes.len() > NAMES {
        names.push(format!("{} more", nodes.len() - NAMES));
    }
    Err(BackendError::NotFound(match names.is_empty() {
        true => format!("{asked:?} is not known here: this node knows no nodes yet"),
        false => format!(
            "the cluster has no node {asked:?} as seen from here; it has {}",
            names.join(", ")
        ),
    }))
}

#[cfg(test)]
mod tests {
    use release_file::Release;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn bench() -> (Store, NodePeers) {
        let node = Node::new(Release::default());
        let store = node.store.clone();
        let member = ClusterMember {
            cluster: "lab".into(),
            node: "cp1".into(),
            control_plane: true,
            addresses: vec![ip("10.0.0.1")],
            endpoint: "https://10.0.0.9:6443".into(),
            api: "https://127.0.0.1:7445".into(),
            pods: vec!["10.244.0.0/16".parse().unwrap()],
            services: vec!["10.96.0.0/12".parse().unwrap()],
            dns: vec![],
            domain: "cluster.local".into(),
            kubernetes: "1.36.0".into(),
            etcd: None,
        };
        store.put("cluster-member", NODE, member).unwrap();
        let status = VirtualIpStatus {
            address: ip("10.0.0.9"),
            holder: None,
            here: true,
            problem: None,
        };
        store.put("virtual-ip", NODE, status).unwrap();
        // A node says itself what its addresses are: not all of that is taken over.
        let addresses = [
            "10.0.0.2",
            "fd00::2",
            "127.0.0.1",
            "10.244.1.1",
            "10.96.0.1",
            "10.0.0.9",
            "169.254.169.254",
            "224.0.0.251",
            "0.0.0.0",
        ];
        let worker = ClusterNode {
            addresses: addresses.map(ip).to_vec(),
            ..ClusterNode::default()
        };
        store.put("cluster-nodes", "w1", worker).unwrap();
        for (name, address) in [("w1", "10.0.0.66"), ("w2", "10.0.0.3")] {
            let peer = ClusterPeer {
                node: name.into(),
                control_plane: false,
                addresses: vec![ip(address)],
            };
            store.put("discovery", name, peer).unwrap();
        }
        (store, NodePeers::new(&node))
    }

    #[test]
    fn nodes_are_found_by_name_and_by_their_own_addresses_only() {
        let (_store, peers) = bench();
        let at = |asked: &str| -> Option<Vec<String>> {
            let found = peers.find(asked).ok()?;
            Some(found.iter().map(ToString::to_string).collect())
        };
        let some = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(at("w1"), some(&["10.0.0.2:50000", "[fd00::2]:50000"]));
        assert_eq!(at("W1"), at("w1"));
        assert_eq!(at("cp1"), some(&["10.0.0.1:50000"]));
        assert_eq!(at("w2"), some(&["10.0.0.3:50000"]));
        assert_eq!(at("fd00::2"), some(&["[fd00::2]:50000"]));
        assert_eq!(at("::ffff:10.0.0.2"), some(&["10.0.0.2:50000"]));
        for other in [
            "127.0.0.1",
            "::1",
            "localhost",
            "10.244.1.1",
            "10.96.0.1",
            "10.0.0.9",
            "10.0.0.66",
            "169.254.169.254",
            "224.0.0.251",
            "0.0.0.0",
            "192.0.2.1",
            "w3",
            "",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
        let error = peers.find("w3").unwrap_err().to_string();
        assert!(
            error.ends_with("it has cp1 (10.0.0.1), w1 (10.0.0.2), w2 (10.0.0.3)"),
            "{error}"
        );
    }

    #[test]
    fn calls_of_nodes_are_known_by_their_addresses() {
        let (_store, peers) = bench();
        for (address, expected) in [
            ("10.0.0.1", true),
            ("10.0.0.2", true),
            ("10.0.0.9", true),
            ("127.0.0.1", true),
            ("10.0.0.77", false),
        ] {
            assert_eq!(peers.is_node(ip(address)), expected, "{address}");
        }
    }
}
