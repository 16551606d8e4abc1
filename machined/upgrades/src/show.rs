//! History, trials and health in the API.

use api::v1alpha1 as api;
use state::kinds::{HealthStatus, TrialStatus};

use super::history::{Entry, Outcome, TrialReport};
use super::status::stage;

/// Shows one upgrade of the past.
pub(super) fn record(entry: Entry) -> api::UpgradeRecord {
    let trial = entry.trial.unwrap_or_default();
    api::UpgradeRecord {
        id: entry.id,
        from_version: entry.from,
        to_version: entry.to,
        source: entry.source,
        started_unix_ms: entry.started_ms,
        ended_unix_ms: entry.ended_ms,
        outcome: entry
            .outcome
            .map_or(api::UpgradeOutcome::Unspecified, outcome)
            .into(),
        cause: entry.cause,
        stage: stage(entry.stage).into(),
        trial_stage: trial.stage.name().to_owned(),
        health: health_of(&trial),
        kernel_log: trial.log.lines().map(str::to_owned).collect(),
        fetched_bytes: entry.fetched,
        written_bytes: entry.written,
    }
}

fn outcome(outcome: Outcome) -> api::UpgradeOutcome {
    match outcome {
        Outcome::Committed => api::UpgradeOutcome::Committed,
        Outcome::FellBack => api::UpgradeOutcome::FellBack,
        Outcome::Failed => api::UpgradeOutcome::Failed,
        Outcome::Cancelled => api::UpgradeOutcome::Cancelled,
        Outcome::RolledBack => api::UpgradeOutcome::RolledBack,
    }
}

fn health_of(trial: &TrialReport) -> Option<api::Health> {
    let checks = trial.checks.iter().map(|check| api::HealthCheckResult {
        name: check.name.clone(),
        healthy: check.healthy,
        message: check.message.clone(),
    });
    (!trial.checks.is_empty()).then(|| api::Health {
        healthy: trial.checks.iter().all(|check| check.healthy),
        checks: checks.collect(),
        ..api::Health::default()
    })
}

/// Shows the state of the running system's trial, `uptime_ms` after the kernel's start.
pub(super) fn trial(status: &TrialStatus, health: &HealthStatus, uptime_ms: u64) -> api::UpgradeTrial {
    let (phase, left_ms) = match status {
        TrialStatus::None => (api::TrialPhase::None, 0),
        TrialStatus::Waiting { deadline_ms } => {
            (api::TrialPhase::Waiting, deadline_ms.saturating_sub(uptime_ms))
        }
        TrialStatus::Holding { until_ms } => (api::TrialPhase::Holding, until_ms.saturating_sub(uptime_ms)),
        TrialStatus::Committed => (api::TrialPhase::Committed, 0),
        TrialStatus::GivenUp => (api::TrialPhase::GivenUp, 0),
    };
    api::UpgradeTrial {
        phase: phase.into(),
        left_ms,
        health: Some(backend::trial_health(health)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ResumeRequest;
    use crate::trial::{DiaryCheck, TrialStage};

    #[test]
    fn the_report_of_a_trial_is_shown_and_credentials_are_not() {
        let check = DiaryCheck {
            name: "network".into(),
            healthy: false,
            message: "no address".into(),
        };
        let entry = Entry {
            id: "u1".into(),
            source: "http://files/b".into(),
            outcome: Some(Outcome::FellBack),
            trial: Some(TrialReport {
                boot_id: "x".into(),
                stage: TrialStage::Storage,
                checks: vec![check],
                log: "one\ntwo\n".into(),
            }),
            again: Some(ResumeRequest {
                url: "http://me:secret@files/b".into(),
                force: false,
                rate_limit: None,
                pin: None,
                attempts: 1,
            }),
            ..Entry::default()
        };
        let shown = record(entry);
        assert_eq!(
            (shown.outcome(), shown.trial_stage.as_str()),
            (api::UpgradeOutcome::FellBack, "storage")
        );
        assert_eq!(shown.kernel_log, ["one", "two"]);
        assert!(!shown.health.as_ref().unwrap().healthy);
        assert!(!format!("{shown:?}").contains("secret"));
        assert_eq!(record(Entry::default()).health, None);
    }

    #[test]
    fn the_time_left_is_counted_from_now() {
        let waiting = trial(
            &TrialStatus::Waiting { deadline_ms: 600_000 },
            &HealthStatus::default(),
            590_000,
        );
        assert_eq!(
            (waiting.phase(), waiting.left_ms),
            (api::TrialPhase::Waiting, 10_000)
        );
        let over = trial(&TrialStatus::Holding { until_ms: 5 }, &HealthStatus::default(), 9);
        assert_eq!((over.phase(), over.left_ms), (api::TrialPhase::Holding, 0));
    }
}
