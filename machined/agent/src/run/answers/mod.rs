//! Answers for the API: what the traits of the crate `backend` ask, out of the node's handles and resources.

mod logs;
mod machine;
mod peers;
mod power;

use std::sync::Arc;

use backend::{Backend, Upgrades, WithoutSlots};
use config::ConfigHandle;
use etcd::EtcdHandle;
use node::Node;
use services::ServicesHandle;
use trust::person::Persons;
use upgrades::UpgradeHandle;

/// Puts the answers together. Without slots there is nothing to upgrade.
pub(super) fn backend(
    node: &Node,
    configs: ConfigHandle,
    upgrades: Option<UpgradeHandle>,
    etcd: EtcdHandle,
    persons: Persons,
) -> Backend {
    let upgrades: Arc<dyn Upgrades> = match upgrades {
        Some(handle) => Arc::new(handle),
        None => Arc::new(WithoutSlots::default()),
    };
    Backend {
        machine: Arc::new(machine::NodeMachine::new(node)),
        services: Arc::new(ServicesHandle::new(node)),
        logs: Arc::new(logs::NodeLogs::new(node)),
        configs: Arc::new(configs),
        power: Arc::new(power::NodePower::new(node, etcd.clone())),
        upgrades,
        etcd: Arc::new(etcd),
        kubernetes: Arc::new(persons),
        peers: Arc::new(peers::NodePeers::new(node)),
    }
}
