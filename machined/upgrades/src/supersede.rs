//! Ends upgrades that another one replaces: left open they would be resumed after that one.

use slots::{Record, Slot, SlotState};
use state::kinds::upgrade::Stage;

use super::handle::UpgradeHandle;
use super::history::{Entry, Outcome};
use super::preflight::RunningSystem;

const ANOTHER: &str = "it was replaced by another upgrade";

impl UpgradeHandle {
    /// Ends all open upgrades but one, which is about to start.
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

/// Returns the outcome of an upgrade whose slot is about to be overwritten; none for the running one. Pure.
fn end(entry: &Entry, running: Slot, record: &Record) -> Option<(Outcome, String)> {
    if !matches!(entry.stage, Stage::Armed | Stage::Rebooting) {
        return Some((Outcome::Failed, ANOTHER.to_owned()));
    }
    let slot = entry.slot.filter(|slot| *slot != running)?;
    // It was tried, and that was not recorded yet: the slot record will not show it any more.
    Some(match record.slot(slot) {
        SlotState::Bad(reason) => (Outcome::FellBack, format!("{reason}; {ANOTHER}")),
        SlotState::Trial { tries: 0 } => (Outcome::FellBack, format!("all its tries were used; {ANOTHER}")),
        SlotState::Committed => (Outcome::Committed, format!("it was kept; {ANOTHER}")),
        SlotState::Trial { .. } | SlotState::Empty => (Outcome::Failed, ANOTHER.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use slots::Reason;

    use super::*;

    #[test]
    fn only_the_running_one_is_left_open_and_tried_ones_are_reported() {
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
