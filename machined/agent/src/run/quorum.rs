//! Keeps a restart of the node from losing etcd's quorum.

use state::Store;
use state::kinds::{EtcdStatus, NODE};
use upgrades::hooks::SurvivesReboot;

/// Objects while the other members of etcd would not be a quorum without this node.
pub(super) struct KeepsQuorum {
    store: Store,
}

impl KeepsQuorum {
    /// Looks at what the node's etcd saw of the others.
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }
}

impl SurvivesReboot for KeepsQuorum {
    fn objections(&self) -> Vec<String> {
        let status: Option<EtcdStatus> = self.store.get(NODE);
        status
            .and_then(|status| status.quorum_objection())
            .into_iter()
            .collect()
    }
}
