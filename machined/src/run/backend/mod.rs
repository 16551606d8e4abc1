//! Answers for the API: what the traits of `api::backend` ask, out of the node's handles and resources.

mod logs;
mod machine;
mod power;

use std::sync::Arc;

use crate::api::backend::{Backend, WithoutSlots};
use crate::config::ConfigHandle;
use crate::node::Node;
use crate::services::ServicesHandle;

/// Puts the answers together.
pub(super) fn backend(node: &Node, configs: ConfigHandle) -> Backend {
    Backend {
        machine: Arc::new(machine::NodeMachine::new(node)),
        services: Arc::new(ServicesHandle::new(node)),
        logs: Arc::new(logs::NodeLogs::new(node)),
        configs: Arc::new(configs),
        power: Arc::new(power::NodePower::new(node)),
        upgrades: Arc::new(WithoutSlots::default()),
    }
}
