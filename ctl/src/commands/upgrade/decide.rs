//! Decisions about one node: how to start, and whether its upgrade succeeded. Pure: only the status that it reports counts.

use api::v1alpha1::{Phase, TrialPhase, UpgradeOutcome, UpgradeRecord, UpgradeStage, UpgradeStatus};

use super::describe;

/// Time after boot in which the old system must report why a trial failed.
const REPORT_MS: u64 = 90_000;

/// The release to run, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goal {
    /// The version.
    pub version: String,
    /// SHA-256 of the manifest, in hex.
    pub manifest: String,
}

/// The state that a node reports at one time.
#[derive(Debug, Clone, Default)]
pub struct NodeState {
    /// Running version.
    pub version: String,
    /// SHA-256 of the running release's manifest; empty if the loader did not start it.
    pub manifest: String,
    /// ID of the boot; changes with every boot.
    pub boot_id: String,
    /// Time since the kernel started.
    pub uptime_ms: u64,
    /// The node's phase.
    pub phase: Phase,
    /// Failed health checks; `None` if the node is healthy.
    pub unhealthy: Option<String>,
    /// The status of its upgrade.
    pub status: UpgradeStatus,
    /// Past upgrades.
    pub records: Vec<UpgradeRecord>,
}

/// The first step with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstStep {
    /// Nothing: it runs the release, and is healthy.
    Already,
    /// Wait: it runs the release, and is not healthy yet.
    Await,
    /// Follow the upgrade with this ID, to the same release.
    Follow(String),
    /// Start an upgrade.
    Start,
    /// Fail, for this reason.
    Refuse(String),
}

/// The upgrade that was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Started {
    /// ID of the upgrade; empty if only the node's health is waited for.
    pub id: String,
    /// ID of the boot in which it was started.
    pub boot_id: String,
}

/// The verdict on a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Undecided; the text says what is waited for.
    Waiting(String),
    /// The node runs the release, keeps it, and is healthy.
    Upgraded,
    /// The release is written: the next reboot starts it.
    Armed,
    /// The release is written: the node waits for its maintenance window.
    Window,
    /// The node will not run the release; with the node's record, where there is one.
    Failed(String, Option<Box<UpgradeRecord>>),
}

impl Goal {
    /// Returns whether a node runs the release. Versions are compared only where the manifest is not known.
    pub fn is_run_by(&self, seen: &NodeState) -> bool {
        if !self.manifest.is_empty() && !seen.manifest.is_empty() {
            return self.manifest == seen.manifest;
        }
        !self.version.is_empty() && self.version == seen.version
    }
}

/// Decides the first step; `source` is the bundle, as a node would show it.
pub fn first_step(goal: &Goal, source: &str, seen: &NodeState) -> FirstStep {
    let status = &seen.status;
    // A pushed bundle comes from one client only, and that is not us.
    let ours = is_running(status.stage()) && status.source == source && source.contains("://");
    if seen.phase == Phase::Stopping && !ours {
        return FirstStep::Refuse("it is rebooting; run this command again when it is back".to_owned());
    }
    if goal.is_run_by(seen) {
        return match trial(status) {
            TrialPhase::GivenUp => FirstStep::Refuse("it is abandoning the new system".to_owned()),
            TrialPhase::Waiting | TrialPhase::Holding => FirstStep::Await,
            _ if seen.unhealthy.is_some() => FirstStep::Await,
            _ => FirstStep::Already,
        };
    }
    if !is_running(status.stage()) {
        return FirstStep::Start;
    }
    if ours {
        return FirstStep::Follow(status.id.clone());
    }
    FirstStep::Refuse(format!(
        "it is already being upgraded from {}; use `bedplate upgrade cancel` to stop that",
        status.source
    ))
}

/// Decides on a node after its upgrade was started.
pub fn judge(goal: &Goal, started: &Started, now: &NodeState) -> Verdict {
    if goal.is_run_by(now) {
        return on_trial(now);
    }
    // From a URL a node resumes by itself after a power cut: in another boot, under the same ID.
    let goes_on = !started.id.is_empty() && now.status.id == started.id;
    if now.boot_id == started.boot_id || goes_on {
        return before_restart(started, &now.status);
    }
    if now.phase == Phase::Stopping {
        return Verdict::Waiting("rebooting".to_owned());
    }
    let record = now.records.iter().find(|record| record.id == started.id);
    match record {
        // Then it is the release, however little was known of that.
        Some(record) if record.outcome() == UpgradeOutcome::Committed => on_trial(now),
        Some(record) if record.outcome() != UpgradeOutcome::Unspecified => {
            Verdict::Failed(describe::ended(record), Some(Box::new(record.clone())))
        }
        // It has not ended: the node has yet to find out how it ended, or resumes it once it is healthy.
        Some(_) => Verdict::Waiting(format!("{} runs again; waiting for its report", now.version)),
        None if now.uptime_ms < REPORT_MS => {
            Verdict::Waiting(format!("{} runs again; waiting for its report", now.version))
        }
        None => Verdict::Failed(
            format!(
                "{} runs again, and reports no reason; see `bedplate dmesg` and `bedplate events`",
                now.version
            ),
            None,
        ),
    }
}

fn on_trial(now: &NodeState) -> Verdict {
    let unhealthy = now.unhealthy.as_deref();
    match trial(&now.status) {
        TrialPhase::Waiting => Verdict::Waiting(match unhealthy {
            Some(unhealthy) => format!("on trial: {unhealthy}"),
            None => "on trial".to_owned(),
        }),
        TrialPhase::Holding => Verdict::Waiting("on trial: healthy, and must stay so".to_owned()),
        TrialPhase::GivenUp => Verdict::Waiting("abandoning the new system".to_owned()),
        TrialPhase::Committed | TrialPhase::None | TrialPhase::Unspecified => match unhealthy {
            Some(unhealthy) => Verdict::Waiting(format!("kept, but not healthy: {unhealthy}")),
            None => Verdict::Upgraded,
        },
    }
}

fn before_restart(started: &Started, status: &UpgradeStatus) -> Verdict {
    if started.id.is_empty() {
        return Verdict::Failed("it no longer runs the release".to_owned(), None);
    }
    if status.id != started.id {
        let text = "another upgrade took its place; see `bedplate upgrade history`";
        return Verdict::Failed(text.to_owned(), None);
    }
    match status.stage() {
        UpgradeStage::Failed => Verdict::Failed(describe::reason(status), None),
        UpgradeStage::Idle | UpgradeStage::Unspecified => Verdict::Failed(describe::reason(status), None),
        UpgradeStage::Waiting => Verdict::Window,
        UpgradeStage::Armed if status.mode() == api::v1alpha1::UpgradeMode::Staged => Verdict::Armed,
        UpgradeStage::Armed | UpgradeStage::Rebooting => Verdict::Waiting("rebooting".to_owned()),
        stage => Verdict::Waiting(describe::stage(stage).to_owned()),
    }
}

/// Returns whether an upgrade in this stage is active.
pub fn is_running(stage: UpgradeStage) -> bool {
    matches!(
        stage,
        UpgradeStage::Opening
            | UpgradeStage::Surveying
            | UpgradeStage::Fetching
            | UpgradeStage::Verifying
            | UpgradeStage::Rebooting
    )
}

fn trial(status: &UpgradeStatus) -> TrialPhase {
    status
        .trial
        .as_ref()
        .map_or(TrialPhase::None, |trial| trial.phase())
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
