//! A node's health as a message of the API.

use api::v1alpha1 as message;
use state::kinds::{CheckResult, HealthState, HealthStatus};

/// Returns a node's health as the API has it.
pub fn health(status: &HealthStatus) -> message::Health {
    let reasons = status.reasons.iter().map(|reason| message::HealthReason {
        source: reason.source.clone(),
        state: state(reason.state).into(),
        text: reason.text.clone(),
    });
    message::Health {
        healthy: status.meets_requirements(),
        checks: status.checks.iter().map(check).collect(),
        state: state(status.state).into(),
        reasons: reasons.collect(),
    }
}

/// Returns a node's health as a trial sees it: healthy means that nothing speaks against keeping the running system.
pub fn trial_health(status: &HealthStatus) -> message::Health {
    message::Health {
        healthy: status.keepable_since().is_some(),
        checks: status.trial_checks().iter().map(check).collect(),
        ..health(status)
    }
}

fn check(check: &CheckResult) -> message::HealthCheckResult {
    message::HealthCheckResult {
        name: check.name.clone(),
        healthy: check.healthy,
        message: check.message.clone(),
    }
}

fn state(state: HealthState) -> message::HealthState {
    match state {
        HealthState::Healthy => message::HealthState::Healthy,
        HealthState::Degraded => message::HealthState::Degraded,
        HealthState::Unhealthy => message::HealthState::Unhealthy,
    }
}
