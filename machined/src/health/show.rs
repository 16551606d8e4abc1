//! The node's health in the API's words.

use ::api::v1alpha1 as api;

use super::status::{CheckResult, HealthState, HealthStatus};

impl HealthStatus {
    /// Returns the status as the API tells it.
    pub fn show(&self) -> api::Health {
        let reasons = self.reasons.iter().map(|reason| api::HealthReason {
            source: reason.source.clone(),
            state: state(reason.state).into(),
            text: reason.text.clone(),
        });
        api::Health {
            healthy: self.is_well(),
            checks: self.checks.iter().map(check).collect(),
            state: state(self.state).into(),
            reasons: reasons.collect(),
        }
    }

    /// Returns the status as a trial sees it: healthy means that nothing speaks against keeping the running system.
    pub fn show_for_trial(&self) -> api::Health {
        api::Health {
            healthy: self.keepable_since().is_some(),
            checks: self.trial_checks().iter().map(check).collect(),
            ..self.show()
        }
    }
}

fn check(check: &CheckResult) -> api::HealthCheckResult {
    api::HealthCheckResult {
        name: check.name.clone(),
        healthy: check.healthy,
        message: check.message.clone(),
    }
}

fn state(state: HealthState) -> api::HealthState {
    match state {
        HealthState::Healthy => api::HealthState::Healthy,
        HealthState::Degraded => api::HealthState::Degraded,
        HealthState::Unhealthy => api::HealthState::Unhealthy,
    }
}
