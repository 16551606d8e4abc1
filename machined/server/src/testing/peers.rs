//! The nodes that a fake node knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backend::{BackendError, Peers};

/// Nodes by name, and addresses that calls of nodes come from. Clones share them.
#[derive(Clone, Default)]
pub struct FakePeers(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    nodes: BTreeMap<String, SocketAddr>,
    sources: Vec<IpAddr>,
}

impl FakePeers {
    /// Adds a node.
    pub fn add(&self, name: &str, address: SocketAddr) {
        self.known().nodes.insert(name.to_owned(), address);
    }

    /// Takes calls from an address for calls of nodes.
    pub fn call_from(&self, source: IpAddr) {
        self.known().sources.push(source);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers for FakePeers {
    fn find(&self, node: &str) -> Result<Vec<SocketAddr>, BackendError> {
        let known = self.known();
        let found = known.nodes.get(node).map(|address| vec![*address]);
        found.ok_or_else(|| {
            let names: Vec<&str> = known.nodes.keys().map(String::as_str).collect();
            BackendError::NotFound(format!(
                "the cluster has no node {node:?}; it has {}",
                names.join(", ")
            ))
        })
    }

    fn is_node(&self, address: IpAddr) -> bool {
        self.known().sources.contains(&address)
    }
}
