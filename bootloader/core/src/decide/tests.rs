extern crate std;
use super::*;
use proptest::prelude::*;
use slots::{RECORD_LEN, encode, load};
use std::vec::Vec;

const OLD: Version = Version::new(0, 1, 0);
const NEW: Version = Version::new(0, 2, 0);

fn loaded(record: Record) -> Loaded {
    load(&encode(1, &record), &[])
}

fn tries(step: Step) -> Attempt {
    match step {
        Step::Try(attempt) => attempt,
        other => panic!("expected an attempt, got {other:?}"),
    }
}

#[test]
fn committed_node_starts_its_slot_and_writes_nothing() {
    let mut boot = Boot::new(
        &loaded(Record::initial()),
        [Ok(OLD), Err(Reason::ManifestMissing)],
    );
    let expected = Attempt {
        slot: Slot::A,
        version: OLD,
        cause: Cause::Preferred,
        before_load: None,
        before_start: None,
    };
    assert_eq!(boot.step(), Step::Try(expected));
    assert_eq!(boot.failures().count(), 0);
}

#[test]
fn trial_is_counted_first_and_falls_back_when_it_fails() {
    let record = Record::initial().arm_trial(Slot::B, 3);
    let mut boot = Boot::new(&loaded(record), [Ok(OLD), Ok(NEW)]);
    let trial = tries(boot.step());
    let counted = record.with_slot(Slot::B, SlotState::Trial { tries: 2 });
    assert_eq!((trial.slot, trial.cause), (Slot::B, Cause::Trial));
    assert_eq!((trial.before_load, trial.before_start), (Some(counted), None));
    boot.stored(counted);
    boot.failed(Slot::B, Reason::KernelHash);
    let fallback = tries(boot.step());
    assert_eq!(
        (fallback.slot, fallback.cause, fallback.before_load),
        (Slot::A, Cause::Fallback, None)
    );
    assert_eq!(
        fallback.before_start,
        Some(counted.mark_bad(Slot::B, Reason::KernelHash))
    );
    assert_eq!(
        boot.failures().collect::<Vec<_>>(),
        [(Slot::B, Reason::KernelHash)]
    );
}

#[test]
fn spent_trial_is_refused_and_marked() {
    let record = Record::initial().arm_trial(Slot::B, 0);
    let mut boot = Boot::new(&loaded(record), [Ok(OLD), Ok(NEW)]);
    assert_eq!(
        boot.step(),
        Step::Refuse {
            slot: Slot::B,
            reason: Reason::TriesExhausted
        }
    );
    let fallback = tries(boot.step());
    assert_eq!(
        fallback.before_start,
        Some(record.mark_bad(Slot::B, Reason::TriesExhausted))
    );
}

#[test]
fn trial_that_cannot_be_counted_is_not_tried() {
    let mut boot = Boot::new(
        &loaded(Record::initial().arm_trial(Slot::B, 3)),
        [Ok(OLD), Ok(NEW)],
    );
    assert_eq!(tries(boot.step()).slot, Slot::B);
    boot.failed(Slot::B, Reason::RecordNotWritten);
    let fallback = tries(boot.step());
    assert_eq!(
        (fallback.slot, fallback.before_start),
        (Slot::A, None),
        "neither tried, nor counted, nor bad"
    );
}

#[test]
fn last_committed_slot_is_never_marked_bad() {
    // Nothing in B: A keeps its state, however often it fails.
    let mut boot = Boot::new(
        &loaded(Record::initial()),
        [Ok(OLD), Err(Reason::ManifestMissing)],
    );
    assert_eq!(tries(boot.step()).slot, Slot::A);
    boot.failed(Slot::A, Reason::ReadFailed);
    assert_eq!(
        boot.step(),
        Step::Refuse {
            slot: Slot::B,
            reason: Reason::Empty
        }
    );
    assert_eq!(boot.step(), Step::Exhausted(None));

    // B takes over, and A's mark is written; B recovers, and the mark is removed again.
    let record = Record::initial().commit(Slot::B).commit(Slot::A);
    let mut boot = Boot::new(&loaded(record), [Ok(OLD), Ok(OLD)]);
    assert_eq!(tries(boot.step()).slot, Slot::A);
    boot.failed(Slot::A, Reason::ReadFailed);
    let second = tries(boot.step());
    let marked = record.mark_bad(Slot::A, Reason::ReadFailed);
    assert_eq!((second.slot, second.before_start), (Slot::B, Some(marked)));
    boot.stored(marked);
    boot.failed(Slot::B, Reason::StartFailed);
    assert_eq!(boot.step(), Step::Exhausted(Some(record)));
}

#[test]
fn an_abandoned_slot_is_the_last_resort() {
    let record = Record::initial().arm_trial(Slot::B, 0);
    let mut boot = Boot::new(&loaded(record), [Ok(OLD), Ok(NEW)]);
    assert_eq!(
        boot.step(),
        Step::Refuse {
            slot: Slot::B,
            reason: Reason::TriesExhausted
        }
    );
    assert_eq!(tries(boot.step()).slot, Slot::A);
    boot.failed(Slot::A, Reason::InitramfsHash);
    let last = tries(boot.step());
    assert_eq!((last.slot, last.cause), (Slot::B, Cause::Fallback));
    assert_eq!((last.before_load, last.before_start), (None, None));
}

#[test]
fn the_floor_applies_even_to_the_menu() {
    let record = Record::initial().commit(Slot::B).raise_floor(NEW);
    let mut boot = Boot::new(&loaded(record), [Ok(OLD), Ok(NEW)]);
    boot.choose(Slot::A);
    assert_eq!(
        boot.step(),
        Step::Refuse {
            slot: Slot::A,
            reason: Reason::BelowFloor
        }
    );
    assert_eq!(tries(boot.step()).cause, Cause::Preferred);
}

#[test]
fn the_menu_starts_an_abandoned_slot() {
    let record = Record::initial().with_slot(Slot::B, SlotState::Bad(Reason::NotHealthy));
    let mut boot = Boot::new(&loaded(record), [Ok(OLD), Ok(NEW)]);
    boot.choose(Slot::B);
    let picked = tries(boot.step());
    assert_eq!(
        (picked.slot, picked.cause, picked.before_load, picked.before_start),
        (Slot::B, Cause::Menu, None, None)
    );
    boot.failed(Slot::B, Reason::StartFailed);
    assert_eq!(tries(boot.step()).slot, Slot::A);
}

#[test]
fn a_lost_record_is_rebuilt() {
    let nothing = load(&[], &[]);
    let none = Err(Reason::ManifestMissing);
    for (findings, slot, cause, writes_first) in [
        ([Ok(OLD), Ok(NEW)], Slot::B, Cause::Trial, true),
        ([Ok(NEW), Ok(OLD)], Slot::A, Cause::Trial, true),
        ([Ok(OLD), Ok(OLD)], Slot::A, Cause::Preferred, false),
        ([Ok(OLD), none], Slot::A, Cause::Preferred, false),
        ([none, Ok(OLD)], Slot::B, Cause::Preferred, false),
    ] {
        let attempt = tries(Boot::new(&nothing, findings).step());
        assert_eq!((attempt.slot, attempt.cause), (slot, cause));
        assert_eq!(attempt.before_load.is_some(), writes_first);
        assert!(
            writes_first || attempt.before_start.is_some(),
            "a new record is written at the first opportunity"
        );
    }
    let mut boot = Boot::new(&nothing, [none, none]);
    assert_eq!(
        boot.step(),
        Step::Refuse {
            slot: Slot::A,
            reason: Reason::ManifestMissing
        }
    );
    assert_eq!(
        boot.step(),
        Step::Refuse {
            slot: Slot::B,
            reason: Reason::Empty
        }
    );
    assert_eq!(boot.step(), Step::Exhausted(None));
}

mod properties;
