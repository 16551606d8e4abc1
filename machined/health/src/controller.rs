//! Sums up the health of the node.

use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use node::events::Events;
use state::kinds::config::Phase;
use state::kinds::health::Reason;
use state::kinds::{
    ApiStatus, CheckResult, ClusterStatus, ConfigStatus, HealthState, HealthStatus, KubernetesNodeStatus,
    NODE, NetworkStatus, ServiceStatus, TimeStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store};
use sys::clock::Clock;

use super::problems::{SOURCES, STARTING, not_ready};
use super::required::{Facts, decide};

/// Sole owner of [`HealthStatus`]. A change for the worse or the better is an event.
pub struct NodeHealth {
    clock: Box<dyn Clock>,
    events: Events,
}

impl NodeHealth {
    /// Makes the controller.
    pub fn new(clock: Box<dyn Clock>, events: Events) -> Self {
        NodeHealth { clock, events }
    }

    /// Logs a change. What happens while the node starts is not one.
    fn report(&self, before: &HealthStatus, after: &HealthStatus, now: Duration) {
        if now < STARTING && after.state != HealthState::Degraded {
            return;
        }
        let texts = |status: &HealthStatus| -> Vec<String> {
            let reasons = status.reasons.iter();
            reasons
                .map(|reason| format!("{}: {}", reason.source, reason.text))
                .collect()
        };
        let (old, new) = (texts(before), texts(after));
        for text in new.iter().filter(|text| !old.contains(text)) {
            self.events.warning(self.name(), text.clone());
        }
        if after.state == HealthState::Healthy && before.state != HealthState::Healthy {
            self.events.info(self.name(), "the node is healthy");
        }
    }
}

/// Gathers what checks are decided from.
fn facts(store: &Store) -> Facts {
    let network: Option<NetworkStatus> = store.get(NODE);
    let api: Option<ApiStatus> = store.get(NODE);
    let unhealthy = |(name, status): (String, ServiceStatus)| format!("{name} ({})", status.message);
    let services = store.list::<ServiceStatus>().into_iter();
    Facts {
        api: match api {
            None => Some("the API does not answer yet".to_owned()),
            Some(status) => status.problem,
        },
        network: network.map(|status| match (status.ready, status.problems) {
            (true, _) => Vec::new(),
            (false, problems) if problems.is_empty() => vec!["the network is not ready".to_owned()],
            (false, problems) => problems,
        }),
        time: store
            .get::<TimeStatus>(state::kinds::NODE)
            .is_some_and(|status| status.synchronised),
        cluster: cluster(store),
        locked: store
            .get::<ConfigStatus>(NODE)
            .and_then(|status| match status.phase {
                Phase::Locked { reason } => Some(reason),
                Phase::Maintenance | Phase::Running { .. } => None,
            }),
        unhealthy: services
            .filter(|(_, status)| !status.is_as_wanted())
            .map(unhealthy)
            .collect(),
    }
}

/// Returns why a node that was Ready in its cluster is not; none on a node without Kubernetes.
fn cluster(store: &Store) -> Option<Option<String>> {
    let config: MachineConfig = store.get(NODE)?;
    if config.cluster.ca.is_none() || config.machine.role == Role::Standalone {
        return None;
    }
    Some(match store.get::<KubernetesNodeStatus>(NODE) {
        None => Some("nothing is known of the node in its cluster yet".to_owned()),
        Some(status) if status.ready || !status.was_ready => None,
        Some(status) => Some(not_ready(store, status).unwrap_or_default()),
    })
}

/// Sums up, so long after the kernel started. Only looks at the store, and at what was said before.
fn sum_up(store: &Store, before: &HealthStatus, now: Duration) -> HealthStatus {
    let config: Option<MachineConfig> = store.get(NODE);
    let wanted = config.map(|config| config.machine.health).unwrap_or_default();
    let checks = decide(&wanted.require, &facts(store));
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let reason = |source: &str, state: HealthState, text: String| Reason {
        since_ms: since(before, source, &text).unwrap_or(now_ms),
        source: source.to_owned(),
        state,
        text,
    };
    let failing = |name: &str| {
        checks
            .iter()
            .any(|check: &CheckResult| check.name == name && !check.healthy)
    };
    let mut reasons: Vec<Reason> = checks
        .iter()
        .filter(|check| !check.healthy)
        .map(|check| reason(&check.name, HealthState::Unhealthy, check.message.clone()))
        .collect();
    for source in SOURCES.iter().filter(|source| !failing(source.name)) {
        let problems = (source.look)(store, now).into_iter();
        reasons.extend(problems.map(|text| reason(source.name, HealthState::Degraded, text)));
    }
    let state = reasons.iter().map(|reason| reason.state).max();
    let state = state.unwrap_or(HealthState::Healthy);
    HealthStatus {
        state,
        well_since_ms: (state != HealthState::Unhealthy).then(|| before.well_since_ms.unwrap_or(now_ms)),
        reasons,
        checks,
    }
}

/// Returns since when something has been reported already. A service's message changes while its problem is the same.
fn since(before: &HealthStatus, source: &str, text: &str) -> Option<u64> {
    let same = |reason: &&Reason| reason.source == source && head(&reason.text) == head(text);
    before.reasons.iter().find(same).map(|reason| reason.since_ms)
}

fn head(text: &str) -> &str {
    text.split(['(', ':']).next().unwrap_or(text)
}

#[async_trait]
impl Controller for NodeHealth {
    fn name(&self) -> &'static str {
        "health"
    }

    fn inputs(&self) -> &'static [&'static str] {
        static INPUTS: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
            let own = [
                MachineConfig::KIND,
                ApiStatus::KIND,
                ClusterStatus::KIND,
                NetworkStatus::KIND,
                ServiceStatus::KIND,
                TimeStatus::KIND,
            ];
            let mut kinds: Vec<&'static str> = own.into();
            kinds.extend(SOURCES.iter().map(|source| source.kind));
            kinds.sort_unstable();
            kinds.dedup();
            kinds
        });
        &INPUTS
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[HealthStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let before: HealthStatus = store.get(NODE).unwrap_or_default();
        let now = self.clock.since_boot();
        let after = sum_up(store, &before, now);
        self.report(&before, &after, now);
        store.put(self.name(), NODE, after)?;
        Ok(match STARTING.checked_sub(now) {
            Some(left) if !left.is_zero() => Action::After(left),
            _ => Action::WaitForChange,
        })
    }
}

#[cfg(test)]
mod tests;
