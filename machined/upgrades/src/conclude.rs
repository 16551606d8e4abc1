//! Decides the outcome of upgrades from the slots and the diary of a trial.

use slots::{Reason, Slot, SlotState};
use state::kinds::upgrade::{Mode, Stage};

use super::history::{Entry, LOG_KEPT, Outcome, TrialReport};
use crate::trial::{Diary, TrialStage};

/// What the running system knows.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The running slot.
    pub running: Slot,
    /// SHA-256 of its manifest, as the loader verified it.
    pub manifest: String,
    /// Its version.
    pub version: String,
    /// The states of A and B in the slot record.
    pub states: [SlotState; 2],
    /// SHA-256 of the manifest in the other slot, if it holds one.
    pub other_manifest: String,
    /// Version in that slot.
    pub other_version: String,
    /// Set when the running system was on trial in this boot, and is kept.
    pub kept_now: bool,
    /// The diary of the last trial.
    pub diary: Option<Diary>,
    /// The upgrade in progress, which records its own outcome.
    pub busy: Option<String>,
    /// Set when the watchdog caused the last restart.
    pub watchdog: bool,
    /// The ID of this boot.
    pub boot_id: String,
    /// Now, in milliseconds since 1970 by the node's clock.
    pub now_ms: i64,
}

/// How often an upgrade that a power cut interrupted is resumed. One that takes the node down each time would do so
/// forever.
const MAX_RESUMES: u32 = 5;

/// Returns the entries that are new or have changed. Pure; once they are stored it returns none.
pub(super) fn conclude(entries: &[Entry], facts: &Facts) -> Vec<Entry> {
    let open = entries.iter().filter(|entry| entry.outcome.is_none());
    let mut changed: Vec<Entry> = open.filter_map(|entry| ended(entry, facts)).collect();
    let known = |manifest: &str, boot: &str| {
        let tells = |entry: &&Entry| {
            entry.manifest == manifest && entry.trial.as_ref().is_some_and(|trial| trial.boot_id == boot)
        };
        entries.iter().chain(&changed).any(|entry| tells(&entry))
    };
    // Trials that were not started here: the slot was put on trial by other means, or STATE was lost.
    if let Some(diary) = failed_diary(facts)
        && !known(&diary.manifest, &diary.boot_id)
    {
        let mut entry = Entry {
            id: format!("trial-{}", short(&diary.boot_id)),
            from: facts.version.clone(),
            to: diary.version.clone(),
            manifest: diary.manifest.clone(),
            slot: Some(diary.slot),
            stage: Stage::Armed,
            ..Entry::default()
        };
        fall_back(&mut entry, facts);
        changed.push(entry);
    }
    if facts.kept_now && !entries.iter().chain(&changed).any(|entry| was_kept(entry, facts)) {
        let mut entry = Entry {
            id: format!("trial-{}", short(&facts.boot_id)),
            from: facts.other_version.clone(),
            to: facts.version.clone(),
            manifest: facts.manifest.clone(),
            slot: Some(facts.running),
            stage: Stage::Armed,
            ..Entry::default()
        };
        entry.end(Outcome::Committed, KEPT, facts.now_ms);
        changed.push(entry);
    }
    changed
}

const KEPT: &str = "the new system became healthy, and is kept";

fn was_kept(entry: &Entry, facts: &Facts) -> bool {
    entry.outcome == Some(Outcome::Committed) && entry.manifest == facts.manifest
}

fn short(boot_id: &str) -> String {
    boot_id.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

/// Returns an open entry with its outcome, if it has ended.
fn ended(entry: &Entry, facts: &Facts) -> Option<Entry> {
    if facts.busy.as_deref() == Some(entry.id.as_str()) {
        return None;
    }
    let mut entry = entry.clone();
    if entry.slot == Some(facts.running) {
        return runs(entry, facts);
    }
    let slot = match entry.stage {
        Stage::Armed | Stage::Rebooting => entry.slot?,
        // It is still within its time.
        Stage::Waiting => return None,
        _ if entry
            .again
            .as_ref()
            .is_some_and(|again| again.attempts < MAX_RESUMES) =>
        {
            return None;
        }
        _ => {
            let cause = "the node restarted before everything was written; run the upgrade again: what was written stays";
            entry.end(Outcome::Failed, cause, facts.now_ms);
            return Some(entry);
        }
    };
    match facts.states[slot.index()] {
        SlotState::Bad(_) | SlotState::Trial { tries: 0 } => fall_back(&mut entry, facts),
        // Not tried yet.
        SlotState::Trial { .. } => return None,
        SlotState::Empty => unarmed(&mut entry, facts),
        // Kept, and rolled back before that could be recorded.
        SlotState::Committed => entry.end(Outcome::Committed, KEPT, facts.now_ms),
    }
    Some(entry)
}

/// Returns an open entry whose slot is running, if that is its outcome, however it came to run.
fn runs(mut entry: Entry, facts: &Facts) -> Option<Entry> {
    if entry.manifest != facts.manifest {
        let cause = "another system was put into its slot";
        entry.end(Outcome::Failed, cause, facts.now_ms);
        return Some(entry);
    }
    if facts.states[facts.running.index()] == SlotState::Committed {
        entry.end(Outcome::Committed, KEPT, facts.now_ms);
        return Some(entry);
    }
    if matches!(entry.stage, Stage::Armed | Stage::Rebooting) {
        return None;
    }
    // It was put on trial by other means. It is neither waited for nor resumed.
    entry.stage = Stage::Armed;
    Some(entry)
}

fn may_resume(entry: &Entry) -> bool {
    entry
        .again
        .as_ref()
        .is_some_and(|again| again.attempts < MAX_RESUMES)
}

/// Continues an upgrade that a power cut interrupted right before it was armed.
fn unarmed(entry: &mut Entry, facts: &Facts) {
    if entry.mode == Mode::Window && facts.other_manifest == entry.manifest {
        entry.stage = Stage::Waiting;
    } else if may_resume(entry) {
        entry.stage = Stage::Opening;
    } else {
        let cause = "the node restarted before it was armed; run the upgrade again: what was written stays";
        entry.end(Outcome::Failed, cause, facts.now_ms);
    }
}

/// Returns the diary, if it is of a trial that failed.
fn failed_diary(facts: &Facts) -> Option<&Diary> {
    let diary = facts.diary.as_ref()?;
    let failed = matches!(
        facts.states[diary.slot.index()],
        SlotState::Bad(_) | SlotState::Trial { tries: 0 }
    );
    // A diary of an earlier release, in a slot that was written since, says nothing about this one.
    let same = diary.slot != facts.running && diary.manifest == facts.other_manifest;
    (failed && same).then_some(diary)
}

/// Ends an entry whose trial failed, with everything that is known about it.
fn fall_back(entry: &mut Entry, facts: &Facts) {
    let reason = match entry.slot.map(|slot| facts.states[slot.index()]) {
        Some(SlotState::Bad(reason)) => reason,
        _ => Reason::TriesExhausted,
    };
    let diary = facts
        .diary
        .as_ref()
        .filter(|diary| diary.manifest == entry.manifest);
    let report = diary.map(|diary| TrialReport {
        boot_id: diary.boot_id.clone(),
        stage: diary.stage,
        checks: diary.checks.clone(),
        log: tail(&diary.log).to_owned(),
    });
    entry.end(
        Outcome::FellBack,
        cause(reason, diary, facts.watchdog),
        facts.now_ms,
    );
    entry.trial = report;
}

/// Returns in one sentence why a trial failed.
fn cause(reason: Reason, diary: Option<&Diary>, watchdog: bool) -> String {
    // A system that falls back by itself also restarts by itself.
    let hung = if watchdog && reason == Reason::TriesExhausted {
        "; last time it hung, and the watchdog restarted it"
    } else {
        ""
    };
    let Some(diary) = diary else {
        return format!("the new system did not start: {reason}{hung}");
    };
    let failing: Vec<String> = diary
        .checks
        .iter()
        .filter(|check| !check.healthy)
        .map(|check| match check.message.as_str() {
            "" => check.name.clone(),
            message => format!("{}: {message}", check.name),
        })
        .collect();
    let far = match diary.stage {
        TrialStage::Unknown => String::new(),
        stage => format!("; it reached {}", stage.name()),
    };
    let said = match (diary.reason.as_str(), reason) {
        // It fell back by itself, or knew why it could not continue.
        (said, _) if !said.is_empty() => said.to_owned(),
        (_, Reason::TriesExhausted) => "all its tries were used, and it never became healthy".to_owned(),
        (_, reason) => reason.to_string(),
    };
    match failing.as_slice() {
        [] => format!("{said}{far}{hung}"),
        failing => format!("{said} ({}){far}{hung}", failing.join("; ")),
    }
}

/// Returns the end of a log, from the start of a line on.
fn tail(log: &str) -> &str {
    let mut start = log.len().saturating_sub(LOG_KEPT);
    while !log.is_char_boundary(start) {
        start += 1;
    }
    match log[start..].find('\n').filter(|_| start > 0) {
        Some(line) => &log[start + line + 1..],
        None => &log[start..],
    }
}

#[cfg(test)]
mod tests;
