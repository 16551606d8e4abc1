//! What must hold from every record, valid, torn, stale or garbage, and whatever fails on the way.
use super::*;

fn any_version() -> impl Strategy<Value = Version> {
    (0u16..3, 0u16..3).prop_map(|(minor, patch)| Version::new(0, minor, patch))
}

fn any_reason() -> impl Strategy<Value = Reason> {
    any::<u8>().prop_map(Reason::from_code)
}

fn any_state() -> impl Strategy<Value = SlotState> {
    prop_oneof![
        Just(SlotState::Empty),
        (0u8..4).prop_map(|tries| SlotState::Trial { tries }),
        Just(SlotState::Committed),
        any_reason().prop_map(SlotState::Bad),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    (any_state(), any_state(), any::<bool>(), any_version()).prop_map(|(a, b, second, floor)| Record {
        slots: [a, b],
        preferred: if second { Slot::B } else { Slot::A },
        floor,
    })
}

/// A copy as a disk may hold it: valid, with one damaged byte, torn in the middle, or arbitrary.
fn any_copy() -> impl Strategy<Value = Vec<u8>> {
    let valid =
        || (any::<u64>(), any_record()).prop_map(|(generation, record)| encode(generation, &record).to_vec());
    prop_oneof![
        4 => valid(),
        1 => (valid(), 0..RECORD_LEN, any::<u8>()).prop_map(|(mut copy, at, byte)| {
            copy[at] = byte;
            copy
        }),
        1 => (valid(), valid(), 0..RECORD_LEN).prop_map(|(mut copy, other, cut)| {
            copy[cut..].copy_from_slice(&other[cut..]);
            copy
        }),
        1 => proptest::collection::vec(any::<u8>(), RECORD_LEN),
    ]
}

fn any_findings() -> impl Strategy<Value = [Result<Version, Reason>; 2]> {
    let finding = || prop_oneof![3 => any_version().prop_map(Ok), 1 => any_reason().prop_map(Err)];
    [finding(), finding()]
}

/// Returns true if the rules allow this slot before all last resorts.
fn sound(record: &Record, findings: &[Result<Version, Reason>; 2], slot: Slot) -> bool {
    findings[slot.index()].is_ok_and(|version| version >= record.floor)
        && matches!(
            record.slot(slot),
            SlotState::Committed | SlotState::Trial { tries: 1.. }
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Runs a boot to its end, with random failures of attempts and writes, and checks every step.
    #[test]
    fn every_boot_obeys_the_rules(
        copies in [any_copy(), any_copy()],
        findings in any_findings(),
        reasons in proptest::collection::vec(any_reason(), 5),
        writable: bool,
        menu in proptest::option::of(any::<bool>()),
    ) {
        let loaded = load(&copies[0], &copies[1]);
        let mut boot = Boot::new(&loaded, findings);
        let before = *boot.record();
        let menu = menu.map(|second| if second { Slot::B } else { Slot::A });
        menu.into_iter().for_each(|slot| boot.choose(slot));

        let mut tried = Vec::new();
        let mut on_disk = loaded.record;
        let mut steps = 0;
        let last = loop {
            steps += 1;
            prop_assert!(steps <= 5, "a boot comes to an end");
            let attempt = match boot.step() {
                Step::Refuse { .. } => continue,
                Step::Try(attempt) => attempt,
                Step::Exhausted(record) => break record,
            };
            let Attempt { slot, version, cause, before_load, before_start } = attempt;
            prop_assert!(!tried.contains(&slot), "no slot twice");
            prop_assert_eq!(findings[slot.index()], Ok(version));
            prop_assert!(version >= before.floor);
            prop_assert!(before.slot(slot) != SlotState::Empty);
            prop_assert_eq!(cause == Cause::Menu, tried.is_empty() && menu == Some(slot));

            let left: Vec<_> = Slot::ALL.into_iter().filter(|other| !tried.contains(other)).collect();
            let better = left.iter().any(|&other| sound(&before, &findings, other));
            if cause != Cause::Menu {
                prop_assert!(!better || sound(&before, &findings, slot), "abandoned before valid");
            }
            match (before.slot(slot), before_load) {
                (SlotState::Trial { tries: 1.. }, Some(written)) => {
                    let (SlotState::Trial { tries: old }, SlotState::Trial { tries: new }) =
                        (before.slot(slot), written.slot(slot)) else { panic!("still on trial") };
                    prop_assert_eq!(new + 1, old);
                }
                (SlotState::Trial { tries: 1.. }, None) => prop_assert!(false, "an uncounted trial"),
                (_, written) => prop_assert_eq!(written, None),
            }
            for record in [before_load, before_start].into_iter().flatten() {
                for other in Slot::ALL {
                    match (before.slot(other), record.slot(other)) {
                        (old, new) if old == new => {}
                        (SlotState::Trial { .. }, SlotState::Trial { .. }) => prop_assert!(other == slot || tried.contains(&other)),
                        (_, SlotState::Bad(_)) => prop_assert!(
                            other != slot && (sound(&before, &findings, slot) || cause == Cause::Menu),
                            "marked without a better one to start"
                        ),
                        (old, new) => prop_assert!(false, "{old:?} became {new:?}"),
                    }
                }
                prop_assert_eq!((record.preferred, record.floor), (before.preferred, before.floor));
            }
            tried.push(slot);
            let mut reason = reasons[steps - 1];
            for record in [before_load, before_start].into_iter().flatten() {
                if writable {
                    boot.stored(record);
                    on_disk = Some(record);
                } else if before_load.is_some() {
                    reason = Reason::RecordNotWritten;
                }
            }
            boot.failed(slot, reason);
        };
        // Nothing started: no committed slot has lost its state.
        let end = last.or(on_disk);
        for slot in Slot::ALL {
            if loaded.record.is_some_and(|record| record.slot(slot) == SlotState::Committed) {
                prop_assert_eq!(end.map(|end| end.slot(slot)), Some(SlotState::Committed));
            }
        }
        // Whatever could be started was tried.
        for slot in Slot::ALL {
            let could = findings[slot.index()].is_ok_and(|version| version >= before.floor)
                && before.slot(slot) != SlotState::Empty;
            prop_assert_eq!(tried.contains(&slot), could);
        }
    }

    /// Power cycling a committed node at any time never changes the slot or the record.
    #[test]
    fn power_cycling_a_committed_node_changes_nothing(record in any_record(), findings in any_findings(), cycles in 1..50) {
        let preferred = record.preferred;
        let record = record.commit(preferred);
        let mut findings = findings;
        findings[preferred.index()] = Ok(record.floor);
        for _ in 0..cycles {
            let attempt = tries(Boot::new(&loaded(record), findings).step());
            prop_assert_eq!((attempt.slot, attempt.cause), (preferred, Cause::Preferred));
            prop_assert_eq!((attempt.before_load, attempt.before_start), (None, None));
        }
    }

    /// A trial whose every start ends in a power cut is started as often as it has tries, then the other slot is.
    #[test]
    fn trial_ends(tries_left in 1u8..10, cuts in proptest::collection::vec(0usize..=RECORD_LEN, 40)) {
        let record = Record::initial().arm_trial(Slot::B, tries_left);
        let mut disk = [encode(1, &record), [0xff; RECORD_LEN]];
        let (mut starts, mut cuts) = (0, cuts.into_iter());
        loop {
            let now = load(&disk[0], &disk[1]);
            let mut boot = Boot::new(&now, [Ok(OLD), Ok(NEW)]);
            let mut step = boot.step();
            if let Step::Refuse { slot, reason } = step {
                prop_assert_eq!((slot, reason), (Slot::B, Reason::TriesExhausted));
                step = boot.step();
            }
            let attempt = tries(step);
            if attempt.slot == Slot::A {
                break;
            }
            // The write is sometimes torn by the power cut: then the start was neither counted, nor did it happen.
            let (_, bytes) = now.next(&attempt.before_load.expect("a trial is counted"));
            let cut = cuts.next().filter(|cut| cut % 3 == 0).unwrap_or(RECORD_LEN);
            disk[now.write_to][..cut].copy_from_slice(&bytes[..cut]);
            if load(&disk[0], &disk[1]).record == attempt.before_load {
                starts += 1;
            }
            prop_assert!(starts <= tries_left);
        }
        prop_assert_eq!(starts, tries_left);
    }
}
