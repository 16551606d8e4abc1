//! The decision whether the firmware is to try other files at its next start.

use firmware_trial::{Mark, Stage, Started};

/// Returns the mark to be stored before the firmware is asked to try files; `None` when this start goes on.
///
/// 1. A trial is counted, on disk, before the firmware is asked: what cannot be counted is not tried.
/// 2. There is one try. A mark that is counted is never asked for again, so a machine that is reset, or loses its power,
///    comes up with its usual files.
/// 3. Firmware that does not say how it was started is never asked: nobody could tell whether the trial is on.
pub fn firmware_try(mark: Option<&Mark>, started: Started) -> Option<Mark> {
    let mark = mark?;
    match (mark.stage, started) {
        (Stage::Requested, Started::Usual) => Some(mark.at(Stage::Counted)),
        (Stage::Requested, Started::Trial) | (Stage::Counted | Stage::Unanswered | Stage::Healthy, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware_trial::{Mailbox, Scope};

    #[test]
    fn a_request_is_counted_once() {
        let mark = Mark {
            stage: Stage::Requested,
            scope: Scope::Config,
            id: [7; 32],
            mailbox: Mailbox::new("mbox").unwrap(),
        };
        let counted = mark.at(Stage::Counted);
        assert_eq!(firmware_try(Some(&mark), Started::Usual), Some(counted));
        assert_eq!(firmware_try(Some(&mark), Started::Trial), None);
        assert_eq!(firmware_try(None, Started::Usual), None);
        for stage in [Stage::Counted, Stage::Unanswered, Stage::Healthy] {
            for started in [Started::Usual, Started::Trial] {
                assert_eq!(
                    firmware_try(Some(&mark.at(stage)), started),
                    None,
                    "{stage:?} {started:?}"
                );
            }
        }
    }
}
