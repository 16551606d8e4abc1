//! Where other members of etcd may be.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use state::Store;
use state::kinds::{ApiServers, ClusterMember, ClusterPeer, NODE};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long the endpoint's name may take to be resolved.
const RESOLVING: Duration = Duration::from_secs(3);

/// The ports of etcd, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// For clients.
    pub client: u16,
    /// Among members.
    pub peer: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            client: etcd_client::PORT,
            peer: 2380,
        }
    }
}

impl Ports {
    /// Returns where the member at an address is reached by others.
    pub(crate) fn peer_url(self, address: IpAddr) -> String {
        format!("https://{}", SocketAddr::new(address, self.peer))
    }

    /// Returns where the member at an address answers clients.
    pub(crate) fn client(self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.client)
    }
}

/// Reads the address out of a member's URL: none where it has a name for a host, which ours never have.
pub(crate) fn address_of(url: &str) -> Option<IpAddr> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let socket: SocketAddr = rest.trim_end_matches('/').parse().ok()?;
    Some(socket.ip())
}

/// The most addresses that are asked because a node on the local network says that it is a control plane: anybody may, and all
/// are asked at once.
const MOST_FOUND: usize = 16;

/// Lists where other members may be, best first: other control planes that are known, those that run an API server, those
/// that were members before, behind the endpoint of the cluster, and those that only say so themselves.
///
/// Behind the endpoint alone nobody may be found: etcd listens at the nodes' own addresses, not at a virtual one.
pub(crate) async fn candidates(store: &Store, me: &ClusterMember, before: &[IpAddr]) -> Vec<IpAddr> {
    let peers = store.list::<ClusterPeer>().into_iter();
    let others = peers.filter(|(_, peer)| peer.control_plane && peer.node != me.node);
    let (found, known): (Vec<_>, Vec<_>) = others.partition(|(id, _)| id.starts_with("mdns/"));
    // Of each node its first address before the second one of any.
    let mut found: Vec<(usize, IpAddr)> = found
        .into_iter()
        .flat_map(|(_, peer)| peer.addresses.into_iter().enumerate())
        .collect();
    found.sort_by_key(|(place, _)| *place);
    let found = found.into_iter().map(|(_, address)| address).take(MOST_FOUND);
    let known = known.into_iter().flat_map(|(_, peer)| peer.addresses);
    let servers = store.get::<ApiServers>(NODE).unwrap_or_default().addresses;
    let servers = servers.into_iter().map(|server| server.ip());
    let endpoint = match host_and_port(&me.endpoint) {
        Some((host, port)) => resolve(host, port).await,
        None => Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let all = known
        .chain(servers)
        .chain(before.iter().copied())
        .chain(endpoint)
        .chain(found);
    all.filter(|address| !me.addresses.contains(address) && !address.is_unspecified())
        .filter(|address| seen.insert(*address))
        .collect()
}

/// Splits `https://HOST:PORT`.
fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let (host, port) = url
        .strip_prefix("https://")?
        .trim_end_matches('/')
        .rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    Some((host, port.parse().ok()?))
}

async fn resolve(host: &str, port: u16) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    // A name that does not resolve is one way less, and others may do.
    match timeout(RESOLVING, lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(|socket| socket.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_both_families_are_written_and_read() {
        let ports = Ports::default();
        for (address, url) in [
            ("10.0.0.1", "https://10.0.0.1:2380"),
            ("fd00::1", "https://[fd00::1]:2380"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(ports.peer_url(address), url);
            assert_eq!(address_of(url), Some(address));
        }
        assert_eq!(address_of("https://node1:2380"), None);
        assert_eq!(host_and_port("https://[fd00::1]:6443"), Some(("fd00::1", 6443)));
        assert_eq!(
            host_and_port("https://k8s.example.org:6443"),
            Some(("k8s.example.org", 6443))
        );
        assert_eq!(host_and_port("k8s.example.org"), None);
    }

    #[tokio::test]
    async fn however_many_say_that_they_are_control_planes_the_others_are_asked() {
        let store = Store::new();
        let peer = |node: String, addresses: Vec<IpAddr>| ClusterPeer {
            node,
            control_plane: true,
            addresses,
        };
        store
            .put(
                "told",
                "told/node3",
                peer("node3".into(), vec![[10, 0, 0, 3].into()]),
            )
            .unwrap();
        let fake = |last| {
            peer(
                format!("fake{last}"),
                vec![[10, 0, 1, last].into(), [10, 0, 2, last].into()],
            )
        };
        let fakes = (10..74).map(|last| (format!("mdns/fake{last}"), fake(last)));
        store.replace("discovery", fakes.collect()).unwrap();
        let found = candidates(&store, &me(), &[]).await;
        assert_eq!(found[..2], [[10, 0, 0, 3], [10, 0, 0, 100]].map(IpAddr::from));
        assert_eq!(
            (found.len(), found[2]),
            (2 + MOST_FOUND, IpAddr::from([10, 0, 1, 10]))
        );
        store
            .replace("discovery", vec![("mdns/fake10".to_owned(), fake(10))])
            .unwrap();
        let found = candidates(&store, &me(), &[]).await;
        assert_eq!(found.len(), 4, "all addresses of the only one");
    }

    fn me() -> ClusterMember {
        ClusterMember {
            cluster: "home".into(),
            node: "node2".into(),
            control_plane: true,
            addresses: vec![[10, 0, 0, 2].into()],
            endpoint: "https://10.0.0.100:6443".into(),
            api: "https://127.0.0.1:7445".into(),
            pods: Vec::new(),
            services: Vec::new(),
            dns: Vec::new(),
            domain: "cluster.local".into(),
            kubernetes: "1.36.2".into(),
            etcd: None,
        }
    }

    #[tokio::test]
    async fn members_behind_a_virtual_address_are_found_by_their_api_servers() {
        let (store, me) = (Store::new(), me());
        let servers = ApiServers {
            addresses: vec![([10, 0, 0, 1], 6443).into(), ([10, 0, 0, 2], 6443).into()],
        };
        store.put("cluster-nodes", NODE, servers).unwrap();
        let found = candidates(&store, &me, &[[10, 0, 0, 3].into(), [10, 0, 0, 1].into()]).await;
        let expected = [[10, 0, 0, 1], [10, 0, 0, 3], [10, 0, 0, 100]];
        assert_eq!(found, expected.map(IpAddr::from));
    }
}
