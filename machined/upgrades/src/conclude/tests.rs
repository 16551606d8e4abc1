//! Each way an upgrade can end, as concluded after a restart.

use proptest::prelude::*;

use super::*;
use crate::history::ResumeRequest;
use crate::trial::DiaryCheck;

const NEW: &str = "new-manifest";
const OLD: &str = "old-manifest";

fn facts(running: Slot, a: SlotState, b: SlotState) -> Facts {
    Facts {
        running,
        manifest: if running == Slot::A { OLD } else { NEW }.into(),
        version: if running == Slot::A { "0.1.0" } else { "0.2.0" }.into(),
        states: [a, b],
        other_manifest: if running == Slot::A { NEW } else { OLD }.into(),
        other_version: if running == Slot::A { "0.2.0" } else { "0.1.0" }.into(),
        kept_now: false,
        diary: None,
        busy: None,
        watchdog: false,
        boot_id: "b007-now".into(),
        now_ms: 5000,
    }
}

fn armed() -> Entry {
    Entry {
        id: "u1".into(),
        from: "0.1.0".into(),
        to: "0.2.0".into(),
        manifest: NEW.into(),
        slot: Some(Slot::B),
        stage: Stage::Rebooting,
        started_ms: 1000,
        ..Entry::default()
    }
}

fn diary(reason: &str, failing: &[(&str, &str)]) -> Diary {
    Diary {
        slot: Slot::B,
        manifest: NEW.into(),
        version: "0.2.0".into(),
        boot_id: "b007-then".into(),
        stage: TrialStage::Storage,
        uptime_ms: 600_000,
        checks: failing
            .iter()
            .map(|(name, message)| DiaryCheck {
                name: (*name).into(),
                healthy: false,
                message: (*message).into(),
            })
            .collect(),
        reason: reason.into(),
        log: "[    1.0] first\n[    2.0] last words\n".into(),
    }
}

/// Concludes until nothing is new, and returns the result: one round must be enough.
fn history(mut entries: Vec<Entry>, facts: &Facts) -> Vec<Entry> {
    for changed in conclude(&entries, facts) {
        match entries.iter_mut().find(|entry| entry.id == changed.id) {
            Some(entry) => *entry = changed,
            None => entries.insert(0, changed),
        }
    }
    assert_eq!(conclude(&entries, facts), [], "what is written down is not news");
    entries
}

#[test]
fn a_kept_system_is_committed() {
    let facts = facts(Slot::B, SlotState::Committed, SlotState::Committed);
    let entries = history(vec![armed()], &facts);
    assert_eq!(
        (entries[0].outcome, entries[0].ended_ms),
        (Some(Outcome::Committed), 5000)
    );
    assert_eq!(entries.len(), 1);
    let kept = Facts {
        kept_now: true,
        ..facts
    };
    assert_eq!(history(entries, &kept).len(), 1);
}

#[test]
fn a_trial_is_not_over_before_its_end() {
    let trial = SlotState::Trial { tries: 2 };
    for running in Slot::ALL {
        let facts = facts(running, SlotState::Committed, trial);
        assert_eq!(history(vec![armed()], &facts), [armed()]);
    }
}

#[test]
fn one_that_fell_back_reports_why() {
    let facts = Facts {
        diary: Some(diary(
            "slot b did not become healthy in time",
            &[("network", "no default route")],
        )),
        ..facts(Slot::A, SlotState::Committed, SlotState::Bad(Reason::NotHealthy))
    };
    let entries = history(vec![armed()], &facts);
    assert_eq!(entries[0].outcome, Some(Outcome::FellBack));
    assert_eq!(
        entries[0].cause,
        "slot b did not become healthy in time (network: no default route); it reached storage"
    );
    let trial = entries[0].trial.clone().unwrap();
    assert_eq!(
        (trial.stage, trial.boot_id.as_str()),
        (TrialStage::Storage, "b007-then")
    );
    assert!(trial.log.ends_with("last words\n"));
}

#[test]
fn one_that_hung_or_crashed_is_reported_from_its_diary() {
    for state in [
        SlotState::Bad(Reason::TriesExhausted),
        SlotState::Trial { tries: 0 },
    ] {
        let facts = Facts {
            diary: Some(diary("", &[])),
            ..facts(Slot::A, SlotState::Committed, state)
        };
        let entries = history(vec![armed()], &facts);
        assert_eq!(
            entries[0].cause,
            "all its tries were used, and it never became healthy; it reached storage"
        );
        let hung = Facts {
            watchdog: true,
            ..facts
        };
        let told = "it reached storage; last time it hung, and the watchdog restarted it";
        assert!(history(vec![armed()], &hung)[0].cause.ends_with(told));
    }
}

#[test]
fn one_that_never_started_is_reported_with_the_loaders_reason() {
    let other = Diary {
        manifest: "of-long-ago".into(),
        ..diary("slot b did not become healthy in time", &[])
    };
    for left in [None, Some(other)] {
        let facts = Facts {
            diary: left.clone(),
            ..facts(Slot::A, SlotState::Committed, SlotState::Bad(Reason::KernelHash))
        };
        let entries = history(vec![armed()], &facts);
        assert_eq!(entries.len(), 1, "an old diary is not reported again");
        let ours = &entries[0];
        assert_eq!(
            ours.cause,
            "the new system did not start: kernel hash does not match the manifest"
        );
        assert_eq!(ours.trial, None);
    }
}

#[test]
fn a_trial_started_by_other_means_is_reported_once() {
    let facts = Facts {
        diary: Some(diary("panicked: no", &[])),
        ..facts(Slot::A, SlotState::Committed, SlotState::Bad(Reason::NotHealthy))
    };
    let entries = history(Vec::new(), &facts);
    assert_eq!(
        (entries.len(), entries[0].id.as_str(), entries[0].to.as_str()),
        (1, "trial-b007e", "0.2.0")
    );
    // The slot stays bad, and the diary stays: that is not a second trial.
    let later = Facts {
        boot_id: "another".into(),
        now_ms: 9000,
        ..facts
    };
    assert_eq!(history(entries, &later).len(), 1);
}

#[test]
fn a_system_kept_by_other_means_is_reported_once() {
    let facts = Facts {
        kept_now: true,
        ..facts(Slot::B, SlotState::Committed, SlotState::Committed)
    };
    let entries = history(Vec::new(), &facts);
    assert_eq!(
        (entries[0].outcome, entries[0].from.as_str()),
        (Some(Outcome::Committed), "0.1.0")
    );
}

#[test]
fn a_slot_that_went_bad_without_a_trial_is_no_upgrade() {
    let facts = facts(Slot::A, SlotState::Committed, SlotState::Bad(Reason::KernelHash));
    assert_eq!(history(Vec::new(), &facts), []);
}

#[test]
fn an_interrupted_upgrade_is_resumed_or_has_failed() {
    let facts = facts(Slot::A, SlotState::Committed, SlotState::Empty);
    let mut entry = Entry {
        stage: Stage::Fetching,
        ..armed()
    };
    entry.again = Some(ResumeRequest {
        url: "http://h/b".into(),
        force: false,
        rate_limit: None,
        pin: None,
        attempts: 4,
    });
    assert_eq!(history(vec![entry.clone()], &facts), std::slice::from_ref(&entry));
    let busy = Facts {
        busy: Some("u1".into()),
        ..facts.clone()
    };
    let pushed = Entry {
        again: None,
        ..entry.clone()
    };
    assert_eq!(
        history(vec![pushed.clone()], &busy),
        std::slice::from_ref(&pushed)
    );
    entry.again = entry.again.map(|again| ResumeRequest { attempts: 5, ..again });
    for entry in [entry, pushed] {
        let entries = history(vec![entry], &facts);
        assert_eq!(
            (entries[0].outcome, entries[0].again.as_ref()),
            (Some(Outcome::Failed), None)
        );
    }
}

#[test]
fn an_upgrade_waits_for_its_window_across_restarts() {
    let entry = Entry {
        stage: Stage::Waiting,
        ..armed()
    };
    let facts = facts(Slot::A, SlotState::Committed, SlotState::Empty);
    assert_eq!(history(vec![entry.clone()], &facts), [entry]);
}

#[test]
fn a_waiting_upgrade_ends_when_its_slot_runs_by_other_means() {
    let waiting = Entry {
        stage: Stage::Waiting,
        ..armed()
    };
    let outcome = |facts: &Facts| history(vec![waiting.clone()], facts)[0].outcome;
    let mut facts = facts(Slot::B, SlotState::Committed, SlotState::Committed);
    assert_eq!(outcome(&facts), Some(Outcome::Committed));
    facts.manifest = "third".into();
    assert_eq!(outcome(&facts), Some(Outcome::Failed));
    facts.manifest = NEW.into();
    facts.states[1] = SlotState::Trial { tries: 1 };
    let on_trial = history(vec![waiting.clone()], &facts);
    assert_eq!((on_trial[0].stage, on_trial[0].outcome), (Stage::Armed, None));
}

#[test]
fn a_power_cut_right_before_it_was_armed_loses_nothing() {
    let facts = facts(Slot::A, SlotState::Committed, SlotState::Empty);
    let again = ResumeRequest {
        url: "http://h/b".into(),
        force: false,
        rate_limit: None,
        pin: None,
        attempts: 0,
    };
    let fetched = Entry {
        again: Some(again),
        ..armed()
    };
    assert_eq!(history(vec![fetched], &facts)[0].stage, Stage::Opening);
    let in_window = Entry {
        mode: Mode::Window,
        ..armed()
    };
    assert_eq!(history(vec![in_window.clone()], &facts)[0].stage, Stage::Waiting);
    assert_eq!(history(vec![armed()], &facts)[0].outcome, Some(Outcome::Failed));
    let overwritten = Facts {
        other_manifest: String::new(),
        ..facts
    };
    assert_eq!(
        history(vec![in_window], &overwritten)[0].outcome,
        Some(Outcome::Failed)
    );
}

#[test]
fn a_replaced_upgrade_is_reported() {
    let mut other = facts(Slot::B, SlotState::Committed, SlotState::Committed);
    other.manifest = "a-third".into();
    assert_eq!(history(vec![armed()], &other)[0].outcome, Some(Outcome::Failed));
}

fn state() -> impl Strategy<Value = SlotState> {
    prop_oneof![
        Just(SlotState::Empty),
        (0u8..3).prop_map(|tries| SlotState::Trial { tries }),
        Just(SlotState::Committed),
        Just(SlotState::Bad(Reason::NotHealthy)),
        Just(SlotState::Bad(Reason::UnknownKey)),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let stage = prop_oneof![
        Just(Stage::Opening),
        Just(Stage::Fetching),
        Just(Stage::Waiting),
        Just(Stage::Armed),
        Just(Stage::Rebooting),
    ];
    let ended =
        prop_oneof![3 => Just(None), 1 => Just(Some(Outcome::Failed)), 1 => Just(Some(Outcome::Committed))];
    let manifest = prop_oneof![Just(OLD), Just(NEW), Just("third")];
    (
        stage,
        ended,
        manifest,
        any::<bool>(),
        0u32..7,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(stage, outcome, manifest, b, attempts, again, window)| Entry {
            stage,
            outcome,
            manifest: manifest.into(),
            slot: Some(if b { Slot::B } else { Slot::A }),
            mode: if window { Mode::Window } else { Mode::Now },
            again: again.then(|| ResumeRequest {
                url: "http://h/b".into(),
                force: false,
                rate_limit: None,
                pin: None,
                attempts,
            }),
            ..armed()
        })
}

proptest! {
    /// Whatever a node finds at a start: one round settles it, and what has ended is not ended again.
    #[test]
    fn one_round_settles_it(
        entries in proptest::collection::vec(any_entry(), 0..4), a in state(), b in state(), on_b: bool,
        kept_now: bool, left: bool, old_diary: bool,
    ) {
        let entries: Vec<Entry> =
            entries.into_iter().enumerate().map(|(number, entry)| Entry { id: format!("u{number}"), ..entry }).collect();
        let running = if on_b { Slot::B } else { Slot::A };
        let mut diary = diary("it did not", &[]);
        if old_diary {
            diary.manifest = "third".into();
        }
        let facts = Facts { kept_now, diary: left.then_some(diary), ..facts(running, a, b) };
        let after = history(entries.clone(), &facts);
        for before in &entries {
            let entry = after.iter().find(|entry| entry.id == before.id).unwrap();
            if before.outcome.is_some() {
                prop_assert_eq!(entry, before);
            }
            if before.outcome.is_none() && entry.outcome == Some(Outcome::FellBack) {
                prop_assert!(entry.slot != Some(running));
            }
        }
        prop_assert!(after.len() <= entries.len() + 2);
    }
}
