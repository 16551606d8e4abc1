//! Hooks of other parts of the node into its restarts.

use async_trait::async_trait;
use state::Store;
use state::kinds::{HealthStatus, NODE};

/// Decides whether the node, and what depends on it, can tolerate a restart now.
///
/// It is called before a byte of an upgrade is fetched, and again before the node restarts in a maintenance window. A
/// member of a cluster would object here if quorum would be lost.
pub trait SurvivesReboot: Send + Sync {
    /// Returns why it cannot, one sentence each; nothing when it can.
    fn objections(&self) -> Vec<String>;
}

/// Does what has to be done before the node restarts into another system. A member of a cluster would drain its work
/// here.
#[async_trait]
pub trait BeforeReboot: Send + Sync {
    /// Names it, for the log.
    fn name(&self) -> &'static str;
    /// Does it. An error is logged, and the node restarts anyway: the decision has been made, and a node that waits
    /// forever would be worse.
    async fn prepare(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Objects while the node is unhealthy by its own machine config: a system that is unhealthy before a restart may not come
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
            return vec!["its health is not known yet".to_owned()];
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
        let sick = reason("services", HealthState::Unhealthy, "unhealthy: containerd");
        let lost = reason("storage", HealthState::Degraded, "DATA is only in memory: broken");
        let full = reason("room", HealthState::Degraded, "DATA is full: 1 % is free");
        store
            .put("health", NODE, health(vec![sick, lost, full.clone()]))
            .unwrap();
        let expected = [
            "services: unhealthy: containerd",
            "storage: DATA is only in memory: broken",
        ];
        assert_eq!(well.objections(), expected);
        store.put("health", NODE, health(vec![full])).unwrap();
        assert_eq!(well.objections(), [""; 0]);
    }
}
