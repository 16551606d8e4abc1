//! Where later parts of the node have a say in its restarts.

use async_trait::async_trait;
use state::Store;
use state::kinds::{HealthStatus, NODE};

/// Knows whether the node, and what depends on it, can bear a restart now.
///
/// It is asked before a byte of an upgrade is fetched, and again before the node restarts in a maintenance window. A
/// member of a cluster would say here that its quorum would be lost.
pub trait SurvivesReboot: Send + Sync {
    /// Returns why it cannot, one sentence each; nothing when it can.
    fn objections(&self) -> Vec<String>;
}

/// Does what has to be done before the node restarts into another system. A member of a cluster would hand its work to
/// others here.
#[async_trait]
pub trait BeforeReboot: Send + Sync {
    /// Names it, for the log.
    fn name(&self) -> &'static str;
    /// Does it. An error is told, and the node restarts all the same: it has been decided by then, and a node that waits
    /// for ever would be the greater harm.
    async fn prepare(&self) -> Result<(), String>;
}

/// Objects while the node is not well by its own machine config: a system that is not well before a restart may not come
/// back after it.
pub struct NodeIsHealthy {
    store: Store,
}

impl NodeIsHealthy {
    /// Looks at the node's health.
    pub fn new(store: Store) -> Self {
        NodeIsHealthy { store }
    }
}

impl SurvivesReboot for NodeIsHealthy {
    fn objections(&self) -> Vec<String> {
        let Some(health) = self.store.get::<HealthStatus>(NODE) else {
            return vec!["nothing is known of its health yet".to_owned()];
        };
        health
            .objections()
            .map(|reason| format!("{}: {}", reason.source, reason.text))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use state::kinds::HealthState;
    use state::kinds::health::Reason;

    use super::*;

    #[test]
    fn a_node_that_is_not_well_objects() {
        let store = Store::new();
        let well = NodeIsHealthy::new(store.clone());
        assert_eq!(well.objections().len(), 1);
        let reason = |source: &str, state, text: &str| Reason {
            source: source.into(),
            state,
            text: text.into(),
            since_ms: 0,
        };
        let health = |reasons: Vec<Reason>| HealthStatus {
            state: HealthState::Degraded,
            reasons,
            ..HealthStatus::default()
        };
        let sick = reason("services", HealthState::Unhealthy, "not well: containerd");
        let lost = reason("storage", HealthState::Degraded, "DATA is only in memory: broken");
        let full = reason("room", HealthState::Degraded, "DATA is full: 1 % is free");
        store
            .put("health", NODE, health(vec![sick, lost, full.clone()]))
            .unwrap();
        let expected = [
            "services: not well: containerd",
            "storage: DATA is only in memory: broken",
        ];
        assert_eq!(well.objections(), expected);
        store.put("health", NODE, health(vec![full])).unwrap();
        assert_eq!(well.objections(), [""; 0]);
    }
}
