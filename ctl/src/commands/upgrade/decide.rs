//! What to do with a node, and what became of it. Pure: everything is told from what the node says.

use api::v1alpha1::{Phase, TrialPhase, UpgradeOutcome, UpgradeRecord, UpgradeStage, UpgradeStatus};

use super::words;

/// How long the old system may take after its start to say why a trial failed.
const REPORT_MS: u64 = 90_000;

/// The release that nodes shall run, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goal {
    /// Its version.
    pub version: String,
    /// SHA-256 of its manifest, in hex.
    pub manifest: String,
}

/// What a node says of itself at one moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Version that runs.
    pub version: String,
    /// SHA-256 of the manifest of what runs; empty when the loader did not start it.
    pub manifest: String,
    /// Changes with every start.
    pub boot_id: String,
    /// Time since the kernel started.
    pub uptime_ms: u64,
    /// What the node as a whole is doing.
    pub phase: Phase,
    /// What is not well; none when all is.
    pub unwell: Option<String>,
    /// Its upgrade.
    pub status: UpgradeStatus,
    /// What became of past upgrades.
    pub records: Vec<UpgradeRecord>,
}

/// How to begin with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// It runs the release, and is well.
    Already,
    /// It runs the release, and has to get well.
    Await,
    /// It is being upgraded to the release, with this id.
    Follow(String),
    /// It has to be upgraded.
    Start,
    /// It cannot be begun with.
    Refuse(String),
}

/// Where it was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begun {
    /// The upgrade; empty when only the node's health is awaited.
    pub id: String,
    /// The boot that it was begun in.
    pub boot_id: String,
}

/// What becomes of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing is decided; the text says what it waits for.
    Waiting(String),
    /// It runs the release, has kept it, and is well.
    Upgraded,
    /// All is written: the next restart starts the release.
    Armed,
    /// All is written: the maintenance window is waited for.
    Window,
    /// It will not run the release; with the record of it, where there is one.
    Failed(String, Option<Box<UpgradeRecord>>),
}

impl Goal {
    /// Tells whether a node runs it. Versions are compared only where the manifest is not known.
    pub fn is_run_by(&self, seen: &Seen) -> bool {
        if !self.manifest.is_empty() && !seen.manifest.is_empty() {
            return self.manifest == seen.manifest;
        }
        !self.version.is_empty() && self.version == seen.version
    }
}

/// Decides how to begin; `source` is where the bundle is, as a node would show it.
pub fn begin(goal: &Goal, source: &str, seen: &Seen) -> Begin {
    let status = &seen.status;
    // A pushed bundle comes from one client only, and that is not us.
    let ours = is_running(status.stage()) && status.source == source && source.contains("://");
    if seen.phase == Phase::Stopping && !ours {
        return Begin::Refuse("it is restarting; run this again when it is back".to_owned());
    }
    if goal.is_run_by(seen) {
        return match trial(status) {
            TrialPhase::GivenUp => Begin::Refuse("it is giving the new system up".to_owned()),
            TrialPhase::Waiting | TrialPhase::Holding => Begin::Await,
            _ if seen.unwell.is_some() => Begin::Await,
            _ => Begin::Already,
        };
    }
    if !is_running(status.stage()) {
        return Begin::Start;
    }
    if ours {
        return Begin::Follow(status.id.clone());
    }
    Begin::Refuse(format!(
        "it is being upgraded already, from {}; `bedplate upgrade cancel` ends that",
        status.source
    ))
}

/// Decides what becomes of a node after it was begun with.
pub fn judge(goal: &Goal, begun: &Begun, now: &Seen) -> Verdict {
    if goal.is_run_by(now) {
        return on_trial(now);
    }
    // From a URL a node goes on by itself after a power cut: in another boot, under the same id.
    let goes_on = !begun.id.is_empty() && now.status.id == begun.id;
    if now.boot_id == begun.boot_id || goes_on {
        return before_restart(begun, &now.status);
    }
    if now.phase == Phase::Stopping {
        return Verdict::Waiting("restarts".to_owned());
    }
    let record = now.records.iter().find(|record| record.id == begun.id);
    match record {
        // Then it is the release, whatever little was known of that.
        Some(record) if record.outcome() == UpgradeOutcome::Committed => on_trial(now),
        Some(record) if record.outcome() != UpgradeOutcome::Unspecified => {
            Verdict::Failed(words::ended(record), Some(Box::new(record.clone())))
        }
        // It has not ended: the node has yet to find out what became of it, or goes on with it once it is well.
        Some(_) => Verdict::Waiting(format!("{} runs again; waits for its report", now.version)),
        None if now.uptime_ms < REPORT_MS => {
            Verdict::Waiting(format!("{} runs again; waits for its report", now.version))
        }
        None => Verdict::Failed(
            format!(
                "{} runs again, and does not say why; `bedplate dmesg` and `bedplate events` may tell more",
                now.version
            ),
            None,
        ),
    }
}

fn on_trial(now: &Seen) -> Verdict {
    let unwell = now.unwell.as_deref();
    match trial(&now.status) {
        TrialPhase::Waiting => Verdict::Waiting(match unwell {
            Some(unwell) => format!("on trial: {unwell}"),
            None => "on trial".to_owned(),
        }),
        TrialPhase::Holding => Verdict::Waiting("on trial: healthy, and has to stay so".to_owned()),
        TrialPhase::GivenUp => Verdict::Waiting("gives the new system up".to_owned()),
        TrialPhase::Committed | TrialPhase::None | TrialPhase::Unspecified => match unwell {
            Some(unwell) => Verdict::Waiting(format!("kept, but not healthy: {unwell}")),
            None => Verdict::Upgraded,
        },
    }
}

fn before_restart(begun: &Begun, status: &UpgradeStatus) -> Verdict {
    if begun.id.is_empty() {
        return Verdict::Failed("it does not run the release any more".to_owned(), None);
    }
    if status.id != begun.id {
        let text = "another upgrade took its place; `bedplate upgrade history` tells which";
        return Verdict::Failed(text.to_owned(), None);
    }
    match status.stage() {
        UpgradeStage::Failed => Verdict::Failed(words::reason(status), None),
        UpgradeStage::Idle | UpgradeStage::Unspecified => Verdict::Failed(words::reason(status), None),
        UpgradeStage::Waiting => Verdict::Window,
        UpgradeStage::Armed if status.mode() == api::v1alpha1::UpgradeMode::Staged => Verdict::Armed,
        UpgradeStage::Armed | UpgradeStage::Rebooting => Verdict::Waiting("restarts".to_owned()),
        stage => Verdict::Waiting(words::stage(stage).to_owned()),
    }
}

/// Tells whether an upgrade of that stage is being worked on.
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
