//! How the node is, as a resource.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Resource;

/// The source of reasons that lie in the node's volumes.
pub const STORAGE: &str = "storage";

/// The health of the node. Owned by `health`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthStatus {
    /// The sum.
    pub state: HealthState,
    /// Why it is not healthy; empty when it is.
    pub reasons: Vec<Reason>,
    /// What the machine config requires, and whether it holds.
    pub checks: Vec<CheckResult>,
    /// Since when all that is required holds without a break, in milliseconds since the kernel started.
    pub well_since_ms: Option<u64>,
}

impl Resource for HealthStatus {
    const KIND: &'static str = "HealthStatus";
}

impl HealthStatus {
    /// Returns true if all that is required holds; something else may be wrong.
    pub fn meets_requirements(&self) -> bool {
        self.state != HealthState::Unhealthy
    }

    /// Lists the reasons for which the running system is not kept when it is on trial, nor left for another one.
    ///
    /// These are what makes the node unhealthy, and a volume that cannot be used: a system that cannot open DATA may
    /// itself be what is wrong. A volume that is full, or a problem of the old system, are none of its faults.
    pub fn objections(&self) -> impl Iterator<Item = &Reason> {
        self.reasons
            .iter()
            .filter(|reason| reason.state == HealthState::Unhealthy || reason.source == STORAGE)
    }

    /// Lists what a trial is judged by: what is required, and other objections as checks that fail.
    pub fn trial_checks(&self) -> Vec<CheckResult> {
        let others = self
            .objections()
            .filter(|reason| self.checks.iter().all(|check| check.name != reason.source));
        let others = others.map(|reason| CheckResult {
            name: reason.source.clone(),
            healthy: false,
            message: reason.text.clone(),
        });
        self.checks.iter().cloned().chain(others).collect()
    }

    /// Returns since when nothing speaks against keeping the running system, from the kernel's start.
    pub fn keepable_since(&self) -> Option<Duration> {
        let since = self.well_since_ms.map(Duration::from_millis);
        since.filter(|_| self.objections().next().is_none())
    }
}

/// The health of the node in one word; the worse state is the greater one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthState {
    /// All is as it should be.
    Healthy,
    /// All that is required holds, and something else is wrong: somebody should look.
    Degraded,
    /// Something that is required does not hold.
    #[default]
    Unhealthy,
}

/// A reason why the node is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reason {
    /// The part of the node: a required check, or a source such as `storage`.
    pub source: String,
    /// How bad it is; never healthy.
    pub state: HealthState,
    /// One sentence: what is wrong, and the way out where there is one.
    pub text: String,
    /// When it came up, in milliseconds since the kernel started.
    pub since_ms: u64,
}

/// One thing that is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckResult {
    /// `api`, `network`, `time`, `services`, as in the machine config; `config` when the node is locked.
    pub name: String,
    /// Set when it holds.
    pub healthy: bool,
    /// What is missing; empty when nothing is.
    pub message: String,
}

/// The health of the API. Owned by `api-check`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiStatus {
    /// What is wrong with it; none when it serves.
    pub problem: Option<String>,
    /// SHA-256 of the certificate that it showed last.
    pub fingerprint: Option<String>,
}

impl Resource for ApiStatus {
    const KIND: &'static str = "ApiStatus";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_kept_with_a_full_volume_and_not_without_one() {
        let status = |source: &str, state| HealthStatus {
            state,
            reasons: vec![Reason {
                source: source.into(),
                state,
                text: "x".into(),
                since_ms: 1,
            }],
            well_since_ms: Some(5000),
            ..HealthStatus::default()
        };
        let (degraded, unhealthy) = (HealthState::Degraded, HealthState::Unhealthy);
        assert_eq!(
            status("room", degraded).keepable_since(),
            Some(Duration::from_secs(5))
        );
        assert_eq!(status(STORAGE, degraded).keepable_since(), None);
        assert_eq!(status("network", unhealthy).keepable_since(), None);
        assert!(
            status(STORAGE, degraded).meets_requirements() && !status("api", unhealthy).meets_requirements()
        );
    }
}
