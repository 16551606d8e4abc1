//! Ends what another upgrade takes the place of: left open it would be begun again, after that one.

use slots::{Record, Slot, SlotState};
use state::kinds::upgrade::Stage;

use super::handle::UpgradeHandle;
use super::history::{Entry, Outcome};
use super::preflight::RunningSystem;

const ANOTHER: &str = "another upgrade took its place";

impl UpgradeHandle {
    /// Ends all open upgrades but one, which is about to be worked on.
    pub(super) async fn supersede(&self, system: &RunningSystem, but: &str) {
        for mut entry in self.shared.history.open_entries() {
            if entry.id != but
                && let Some((outcome, cause)) = end(&entry, system.running, &system.record())
            {
                entry.end(outcome, cause, self.now_ms());
                self.write_down(entry).await;
            }
        }
    }
}

/// Returns the end of an upgrade whose slot is written anew; none for one that runs, which has its own. Pure.
fn end(entry: &Entry, running: Slot, record: &Record) -> Option<(Outcome, String)> {
    if !matches!(entry.stage, Stage::Armed | Stage::Rebooting) {
        return Some((Outcome::Failed, ANOTHER.to_owned()));
    }
    let slot = entry.slot.filter(|slot| *slot != running)?;
    // It was tried, and nobody has had the time to say so: the record will tell nothing of it any more.
    Some(match record.slot(slot) {
        SlotState::Bad(reason) => (Outcome::FellBack, format!("{reason}; {ANOTHER}")),
        SlotState::Trial { tries: 0 } => (
            Outcome::FellBack,
            format!("it was started as often as it may be; {ANOTHER}"),
        ),
        SlotState::Committed => (Outcome::Committed, format!("it was kept; {ANOTHER}")),
        SlotState::Trial { .. } | SlotState::Empty => (Outcome::Failed, ANOTHER.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use slots::Reason;

    use super::*;

    #[test]
    fn only_what_runs_is_left_open_and_what_was_tried_is_told() {
        let at = |stage, slot| Entry {
            stage,
            slot: Some(slot),
            ..Entry::default()
        };
        let fresh = Record::initial();
        let outcome =
            |entry: &Entry, record: &Record| end(entry, Slot::A, record).map(|(outcome, _)| outcome);
        let armed = at(Stage::Rebooting, Slot::B);
        let bad = fresh.arm_trial(Slot::B, 2).mark_bad(Slot::B, Reason::NotHealthy);
        let cases = [
            (at(Stage::Fetching, Slot::B), fresh, Some(Outcome::Failed)),
            (at(Stage::Fetching, Slot::A), fresh, Some(Outcome::Failed)),
            (at(Stage::Waiting, Slot::B), fresh, Some(Outcome::Failed)),
            (at(Stage::Rebooting, Slot::A), fresh, None),
            (armed.clone(), fresh, Some(Outcome::Failed)),
            (armed.clone(), bad, Some(Outcome::FellBack)),
            (
                armed.clone(),
                fresh.arm_trial(Slot::B, 0),
                Some(Outcome::FellBack),
            ),
            (armed, fresh.commit(Slot::B), Some(Outcome::Committed)),
        ];
        for (entry, record, expected) in cases {
            assert_eq!(outcome(&entry, &record), expected, "{entry:?}");
        }
    }
}
