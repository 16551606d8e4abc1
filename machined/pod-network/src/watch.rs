//! Watches the nodes and API servers of the cluster.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Endpoints, Node};
use kubernetes_client::kube::runtime::watcher::{Config, Event};
use kubernetes_client::kube::runtime::{WatchStreamExt as _, watcher};
use kubernetes_client::kube::{Api, Client, ResourceExt};
use kubernetes_client::{Clients, Connection};
use machine_config::value::IpPrefix;
use state::kinds::{ApiServers, ClusterNode};
use state::tasks;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// How many nodes are asked for at once: each is some ten kilobytes.
const PAGE: u32 = 20;
/// The annotation with a node's public key in the mesh, which the node's kubelet alone may set.
const MESH_KEY: &str = "bedplate.dev/mesh-key";
/// The service whose endpoints the API servers keep themselves.
const SERVICE: &str = "kubernetes";

/// What the cluster has said. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    inner: Arc<Mutex<Complete>>,
}

/// What is known completely; none before that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Complete {
    /// Nodes by name.
    pub nodes: Option<BTreeMap<String, ClusterNode>>,
    /// The API servers, unless the cluster names none.
    pub servers: Option<ApiServers>,
}

impl Seen {
    /// Returns what is known so far.
    pub(crate) fn get(&self) -> Complete {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn edit(&self, edit: impl FnOnce(&mut Complete)) {
        edit(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Watches until it is dropped, and rings for each news.
pub(crate) fn watch(clients: Clients, seen: Seen, bell: Arc<Notify>) -> AbortOnDropHandle<()> {
    tasks::keep("the watch over the nodes of the cluster", move || {
        let (clients, seen, bell) = (clients.clone(), seen.clone(), bell.clone());
        async move {
            let mut current = clients.after(None).await;
            loop {
                let Connection { client, generation } = current;
                current = tokio::select! {
                    // Cancel safe: it only waits.
                    next = clients.after(Some(generation)) => next,
                    // What it had gathered is gathered again by the next one.
                    ended = nodes(client.clone(), &seen, &bell) => return Err(ended),
                    // Likewise.
                    ended = servers(client, &seen, &bell) => return Err(ended),
                };
            }
        }
    })
}

/// Watches nodes. Never ends but by a failure that another try would not fix.
async fn nodes(client: Client, seen: &Seen, bell: &Notify) -> String {
    let config = Config::default().page_size(PAGE);
    let mut gathered = Gathered::default();
    follow(watcher(Api::<Node>::all(client), config), |event| {
        let facts = |node: Node| (node.name_any(), facts(&node));
        if gathered.take(event, facts) {
            seen.edit(|seen| seen.nodes = Some(gathered.all.clone()));
            bell.notify_one();
        }
    })
    .await
}

/// Watches the endpoints of the API servers, likewise.
async fn servers(client: Client, seen: &Seen, bell: &Notify) -> String {
    let config = Config::default().fields(&format!("metadata.name={SERVICE}"));
    let mut gathered = Gathered::default();
    follow(
        watcher(Api::<Endpoints>::namespaced(client, "default"), config),
        |event| {
            let facts = |found: Endpoints| (found.name_any(), addresses(&found));
            if gathered.take(event, facts) {
                let listed: Vec<SocketAddr> = gathered.all.values().flatten().copied().collect();
                // Servers that are about to go name none: whom to ask is then better remembered.
                if !listed.is_empty() {
                    seen.edit(|seen| seen.servers = Some(ApiServers { addresses: listed }));
                    bell.notify_one();
                }
            }
        },
    )
    .await
}

/// Follows a watch. Failures are tried again ever more slowly, and told.
async fn follow<K: ResourceExt + Clone + 'static>(
    events: impl futures::Stream<Item = watcher::Result<Event<K>>> + Send,
    mut take: impl FnMut(Event<K>),
) -> String {
    let mut events = std::pin::pin!(events.default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(event)) => take(event),
            Ok(None) => return "the watch ended".to_owned(),
            Err(error) => tracing::debug!("cluster-nodes: {}", state::chain(&error)),
        }
    }
}

/// Everything of a kind, as the events of a watch tell it.
#[derive(Debug)]
struct Gathered<T> {
    /// What a new list holds so far; none while there is no new one.
    listing: Option<BTreeMap<String, T>>,
    all: BTreeMap<String, T>,
    complete: bool,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self {
            listing: None,
            all: BTreeMap::new(),
            complete: false,
        }
    }
}

impl<T: PartialEq> Gathered<T> {
    /// Takes an event. Returns true if what is known completely is new.
    fn take<K>(&mut self, event: Event<K>, facts: impl FnOnce(K) -> (String, T)) -> bool {
        match event {
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                false
            }
            Event::InitApply(found) => {
                self.listing.get_or_insert_default().extend([facts(found)]);
                false
            }
            Event::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                let new = !self.complete || listed != self.all;
                (self.all, self.complete) = (listed, true);
                new
            }
            Event::Apply(found) => {
                let (name, facts) = facts(found);
                let new = self.all.get(&name) != Some(&facts);
                self.all.insert(name, facts);
                new && self.complete
            }
            Event::Delete(found) => self.all.remove(&facts(found).0).is_some() && self.complete,
        }
    }
}

/// Reads what matters of a node. What cannot be read is left out.
fn facts(node: &Node) -> ClusterNode {
    let (spec, status) = (node.spec.as_ref(), node.status.as_ref());
    let several = spec.and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
    let one = spec.and_then(|spec| spec.pod_cidr.clone());
    let named = if several.is_empty() {
        one.into_iter().collect()
    } else {
        several
    };
    let addresses = status.and_then(|status| status.addresses.as_ref());
    let internal = addresses
        .into_iter()
        .flatten()
        .filter(|address| address.type_ == "InternalIP");
    ClusterNode {
        addresses: internal
            .filter_map(|address| address.address.parse().ok())
            .collect(),
        pods: named
            .iter()
            .filter_map(|text| text.parse::<IpPrefix>().ok())
            .map(IpPrefix::network)
            .collect(),
        mesh_key: node.annotations().get(MESH_KEY).cloned(),
    }
}

/// Lists where the addresses of a service's endpoints listen, in order.
fn addresses(endpoints: &Endpoints) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<u16> = subset
            .ports
            .iter()
            .flatten()
            .filter_map(|port| u16::try_from(port.port).ok())
            .collect();
        let listed = subset.addresses.iter().flatten();
        for address in listed.filter_map(|address| address.ip.parse::<IpAddr>().ok()) {
            all.extend(ports.iter().map(|port| SocketAddr::new(address, *port)));
        }
    }
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_node_of_any_version_is_its_addresses_and_networks() {
        let found = facts(&node(
            r#"{"metadata": {"name": "n"}, "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd01:0:0:1::/64", "x"]},
                "status": {"addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.7"},
                {"type": "ExternalIP", "address": "1.2.3.4"}, {"type": "InternalIP", "address": "fd00::7"}]}}"#,
        ));
        assert_eq!(found.addresses.len(), 2);
        assert_eq!(found.pods.len(), 2);
        let old = facts(&node(r#"{"metadata": {}, "spec": {"podCIDR": "10.244.1.0/24"}}"#));
        assert_eq!(old.pods, ["10.244.1.0/24".parse().unwrap()]);
        assert_eq!(facts(&node(r#"{"metadata": {}}"#)), ClusterNode::default());
    }

    #[test]
    fn api_servers_are_what_they_say() {
        let endpoints = serde_json::from_str(
            r#"{"metadata": {"name": "kubernetes"}, "subsets": [{"addresses": [{"ip": "10.0.0.8"}, {"ip": "10.0.0.7"}],
                "ports": [{"name": "https", "port": 6443}]}]}"#,
        );
        let found = addresses(&endpoints.unwrap());
        assert_eq!(
            found,
            ["10.0.0.7:6443", "10.0.0.8:6443"].map(|text| text.parse().unwrap())
        );
    }

    #[test]
    fn a_list_is_believed_when_it_is_complete() {
        let mut gathered = Gathered::<u32>::default();
        let facts = |(name, value): (&str, u32)| (name.to_owned(), value);
        let mut take = |event| gathered.take(event, facts).then(|| gathered.all.clone());
        let all = |names: &[(&str, u32)]| Some(names.iter().copied().map(facts).collect::<BTreeMap<_, _>>());
        assert_eq!(take(Event::Init), None);
        assert_eq!(take(Event::InitApply(("a", 1))), None);
        assert_eq!(take(Event::InitDone), all(&[("a", 1)]));
        assert_eq!(take(Event::Apply(("b", 2))), all(&[("a", 1), ("b", 2)]));
        assert_eq!(take(Event::Apply(("b", 2))), None, "a heartbeat is no news");
        // The watch was lost, and `a` was deleted meanwhile.
        assert_eq!(take(Event::Init), None);
        assert_eq!(take(Event::InitApply(("b", 2))), None);
        assert_eq!(take(Event::InitDone), all(&[("b", 2)]));
        assert_eq!(take(Event::Delete(("b", 2))), all(&[]));
    }
}
