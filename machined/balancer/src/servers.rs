//! Which API servers there may be. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use kubernetes::Ports;
use state::kinds::{ApiServers, ClusterMember, ClusterPeer};

/// The most servers that are tried: a cluster has seven at most.
const MOST: usize = 16;
/// The most of them that only other nodes speak of: anybody on the network may, and must not displace the others.
const MOST_PEERS: usize = 7;

/// Where an API server may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// At an address.
    Address(SocketAddr),
    /// At the address of a name, which may change.
    Name(String, u16),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => write!(f, "{address}"),
            Target::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// How a server is known. The earlier ones are preferred: they stay where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// It is the node's own.
    Own,
    /// The cluster names it.
    Cluster,
    /// Another node says that it is a control plane.
    Peer,
    /// The machine config names it: it may be a virtual address, or a load balancer.
    Endpoint,
}

/// Lists the servers that a member may reach, each once, the preferred ones first.
pub(crate) fn candidates(
    member: &ClusterMember,
    known: &ApiServers,
    peers: &[ClusterPeer],
) -> Vec<(Target, Origin)> {
    let port = Ports::default().api;
    let at = |address: &IpAddr| SocketAddr::new(*address, port);
    let own = member
        .control_plane
        .then(|| member.addresses.first().map(at))
        .flatten();
    let planes = peers.iter().filter(|peer| peer.control_plane);
    let named = [
        own.map(|address| (Target::Address(address), Origin::Own)),
        endpoint(&member.endpoint).map(|target| (target, Origin::Endpoint)),
    ];
    let mut all: Vec<(Target, Origin)> = known
        .addresses
        .iter()
        .map(|address| (Target::Address(*address), Origin::Cluster))
        .chain(planes.filter_map(|peer| Some((Target::Address(at(peer.addresses.first()?)), Origin::Peer))))
        .chain(named.into_iter().flatten())
        .collect();
    all.sort_by_key(|(target, origin)| (*origin, target.clone()));
    let mut listed: Vec<(Target, Origin)> = Vec::new();
    for (target, origin) in all {
        if !listed.iter().any(|(other, _)| *other == target) {
            listed.push((target, origin));
        }
    }
    let mut peers = 0;
    listed.retain(|(_, origin)| {
        peers += usize::from(*origin == Origin::Peer);
        *origin != Origin::Peer || peers <= MOST_PEERS
    });
    let endpoint = listed.pop_if(|(_, origin)| *origin == Origin::Endpoint);
    listed.truncate(MOST - 1);
    listed.extend(endpoint);
    listed
}

/// Reads the host and port of `https://HOST:PORT`.
fn endpoint(url: &str) -> Option<Target> {
    let authority = url.strip_prefix("https://")?.trim_end_matches('/');
    if let Ok(address) = authority.parse() {
        return Some(Target::Address(address));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    Some(match bare.parse::<IpAddr>() {
        Ok(address) => Target::Address(SocketAddr::new(address, port)),
        Err(_) => Target::Name(host.to_owned(), port),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn member(control_plane: bool, endpoint: &str) -> ClusterMember {
        ClusterMember {
            cluster: "home".to_owned(),
            node: "node1".to_owned(),
            control_plane,
            addresses: vec!["10.0.0.7".parse().unwrap()],
            endpoint: endpoint.to_owned(),
            api: "https://127.0.0.1:7445".to_owned(),
            pods: Vec::new(),
            services: Vec::new(),
            dns: Vec::new(),
            domain: "cluster.local".to_owned(),
            kubernetes: "1.20.2".to_owned(),
            etcd: None,
        }
    }

    #[test]
    fn the_node_s_own_comes_first_and_the_endpoint_last() {
        let known = ApiServers {
            addresses: ["10.0.0.9:6443", "10.0.0.7:6443"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
        };
        let peer = |node: &str, control_plane, address: &str| ClusterPeer {
            node: node.to_owned(),
            control_plane,
            addresses: vec![address.parse().unwrap()],
        };
        let peers = [peer("node2", true, "10.0.0.8"), peer("node4", false, "10.0.0.10")];
        let listed = |control_plane| {
            let member = member(control_plane, "https://10.0.0.5:6443");
            let all = candidates(&member, &known, &peers).into_iter();
            all.map(|(target, _)| target.to_string()).collect::<Vec<_>>()
        };
        let others = ["10.0.0.9:6443", "10.0.0.8:6443", "10.0.0.5:6443"];
        assert_eq!(listed(true), [&["10.0.0.7:6443"][..], &others].concat());
        assert_eq!(
            listed(false),
            ["10.0.0.7:6443", "10.0.0.9:6443", "10.0.0.8:6443", "10.0.0.5:6443"]
        );
    }

    #[test]
    fn however_many_claim_to_be_one_the_endpoint_is_tried() {
        let servers = |count: u8| (1..=count).map(|last| SocketAddr::from(([10, 0, 1, last], 6443)));
        let known = ApiServers {
            addresses: servers(40).collect(),
        };
        let peers: Vec<ClusterPeer> = (1..=40)
            .map(|last| ClusterPeer {
                node: format!("fake{last}"),
                control_plane: true,
                addresses: vec![[10, 0, 2, last].into()],
            })
            .collect();
        let member = member(true, "https://10.0.0.5:6443");
        for known in [ApiServers::default(), known] {
            let listed = candidates(&member, &known, &peers);
            assert!(listed.len() <= MOST);
            assert_eq!(listed[0].1, Origin::Own);
            assert_eq!(listed.last().unwrap().1, Origin::Endpoint);
            let fake = listed
                .iter()
                .filter(|(_, origin)| *origin == Origin::Peer)
                .count();
            assert!(fake <= MOST_PEERS);
        }
    }

    #[test]
    fn endpoints_are_read_in_every_form() {
        for (url, shown) in [
            ("https://10.0.0.5:6443", Some("10.0.0.5:6443")),
            ("https://[fd00::5]:6443", Some("[fd00::5]:6443")),
            ("https://[fd00::5]", Some("[fd00::5]:443")),
            ("https://k8s.home.example:6443", Some("k8s.home.example:6443")),
            ("https://k8s.home.example", Some("k8s.home.example:443")),
            ("https://k8s.home.example:x", None),
            ("http://k8s.home.example", None),
        ] {
            let found = endpoint(url).map(|target| target.to_string());
            assert_eq!(found.as_deref(), shown, "{url}");
        }
    }
}
