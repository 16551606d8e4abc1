//! What is done about files that differ.

use firmware_trial::{Stage, Started};

/// The input of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// How the firmware was started; none when it cannot try files.
    pub started: Option<Started>,
    /// How far a trial of the very files that are wanted has got.
    pub stage: Option<Stage>,
    /// Something is to be changed.
    pub differs: bool,
    /// The board was never started with some of it.
    pub news: bool,
    /// The files to be tried are on the partition, as they are to be.
    pub prepared: bool,
    /// Something of a trial is there: its files, or a mark.
    pub left_over: bool,
    /// Somebody asks for it now.
    pub asked: bool,
    /// They do not want a trial.
    pub at_once: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// All is as it should be.
    Nothing,
    /// What is left over from a trial is removed.
    Clear,
    /// The files are written at once.
    Write,
    /// They are put on trial.
    Prepare,
    /// Nothing before the next start.
    NextStart,
    /// The node was started with them: they are committed when it is healthy.
    Running,
    /// They were tried, and not committed. They are not tried again unless somebody asks for it.
    TakenBack,
    /// The firmware did not take the request.
    Unanswered,
}

impl Step {
    /// Returns true for what is done at once.
    pub(crate) fn is_due(self) -> bool {
        matches!(self, Step::Clear | Step::Write | Step::Prepare)
    }
}

/// Decides. Files with which the board was started before, and those of a trial that ended well, need no further one.
pub(crate) fn decide(facts: Facts) -> Step {
    if !facts.differs {
        return match facts.left_over {
            true => Step::Clear,
            false => Step::Nothing,
        };
    }
    let Some(started) = facts.started.filter(|_| facts.news && !facts.at_once) else {
        return Step::Write;
    };
    match (started, facts.stage) {
        (_, Some(Stage::Healthy)) => Step::Write,
        // What the firmware has read is on the partition: it has read nothing else.
        (Started::Trial, _) if facts.prepared => Step::Running,
        (_, Some(Stage::Requested)) if facts.prepared => Step::NextStart,
        (_, Some(Stage::Counted)) if !facts.asked => Step::TakenBack,
        (_, Some(Stage::Unanswered)) if !facts.asked => Step::Unanswered,
        _ => Step::Prepare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        started: Some(Started::Usual),
        stage: None,
        differs: true,
        news: true,
        prepared: false,
        left_over: false,
        asked: false,
        at_once: false,
    };

    #[test]
    fn each_case() {
        let at = |stage| Facts {
            stage: Some(stage),
            prepared: true,
            left_over: true,
            ..FACTS
        };
        let on_trial = |facts| Facts {
            started: Some(Started::Trial),
            ..facts
        };
        let cases = [
            (FACTS, Step::Prepare),
            (
                Facts {
                    differs: false,
                    ..FACTS
                },
                Step::Nothing,
            ),
            (
                Facts {
                    differs: false,
                    left_over: true,
                    ..FACTS
                },
                Step::Clear,
            ),
            // No trial is possible, needed or wanted.
            (
                Facts {
                    started: None,
                    ..FACTS
                },
                Step::Write,
            ),
            (Facts { news: false, ..FACTS }, Step::Write),
            (
                Facts {
                    asked: true,
                    at_once: true,
                    ..FACTS
                },
                Step::Write,
            ),
            // The way of a trial.
            (at(Stage::Requested), Step::NextStart),
            (on_trial(at(Stage::Counted)), Step::Running),
            (at(Stage::Healthy), Step::Write),
            (on_trial(at(Stage::Healthy)), Step::Write),
            // And its ends.
            (at(Stage::Counted), Step::TakenBack),
            (at(Stage::Unanswered), Step::Unanswered),
            (
                Facts {
                    asked: true,
                    ..at(Stage::Counted)
                },
                Step::Prepare,
            ),
            (
                Facts {
                    asked: true,
                    ..at(Stage::Unanswered)
                },
                Step::Prepare,
            ),
            // Files that are not there are put there again; what runs is then something else.
            (
                Facts {
                    prepared: false,
                    ..at(Stage::Requested)
                },
                Step::Prepare,
            ),
            (
                Facts {
                    prepared: false,
                    ..on_trial(at(Stage::Requested))
                },
                Step::Prepare,
            ),
            // A mark that was torn: the firmware has read what is there nevertheless.
            (
                Facts {
                    stage: None,
                    ..on_trial(at(Stage::Counted))
                },
                Step::Running,
            ),
            (
                Facts {
                    stage: None,
                    ..at(Stage::Counted)
                },
                Step::Prepare,
            ),
        ];
        for (facts, expected) in cases {
            assert_eq!(decide(facts), expected, "{facts:?}");
        }
    }

    /// Whatever the facts are: new files become the usual ones after a trial alone, if one is possible.
    #[test]
    fn news_is_written_only_after_a_trial() {
        let bools = [false, true];
        for started in [Started::Usual, Started::Trial] {
            for stage in [
                None,
                Some(Stage::Requested),
                Some(Stage::Counted),
                Some(Stage::Unanswered),
            ] {
                for bits in 0..16 {
                    let bit = |at: usize| bools[bits >> at & 1];
                    let facts = Facts {
                        started: Some(started),
                        stage,
                        prepared: bit(0),
                        left_over: bit(1),
                        asked: bit(2),
                        differs: bit(3),
                        ..FACTS
                    };
                    let next = decide(facts);
                    assert_ne!(next, Step::Write, "{facts:?}");
                    let running = started == Started::Trial && facts.prepared && facts.differs;
                    assert_eq!(next == Step::Running, running, "{facts:?}");
                }
            }
        }
    }
}
