//! Which slot boots: the loader's decision over several boots, with failures, torn writes and menu selections.

use arbitrary::{Arbitrary, Unstructured};
use bootloader_core::{Attempt, Boot, Cause, Step};
use slots::{COPY_OFFSETS, RECORD_LEN, Reason, Record, Slot, SlotState, Version, encode, load};

/// A disk, and what happens to it.
#[derive(Debug, Arbitrary)]
struct Story {
    copies: [Option<Copy>; 2],
    boots: Vec<BootScript>,
}

#[derive(Debug, Arbitrary)]
struct Copy {
    generation: u64,
    slots: [State; 2],
    prefers_b: bool,
    floor: u8,
}

#[derive(Debug, Arbitrary)]
enum State {
    Empty,
    Trial(u8),
    Committed,
    Bad(u8),
}

/// One boot.
#[derive(Debug, Arbitrary)]
struct BootScript {
    /// What the slots' manifests say: a version, or the code of a reason.
    findings: [Result<u8, u8>; 2],
    menu: Option<bool>,
    /// The outcome of each attempt, in turn; further ones start.
    attempts: [Outcome; 3],
    /// Which writes of the record fail, and which is torn by a power cut, and where.
    failing_writes: u8,
    power_cut: Option<(u8, u16)>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Outcome {
    Starts,
    DoesNotLoad(u8),
    ComesBack,
}

/// The most boots in a story.
const MOST_BOOTS: usize = 8;

/// Whatever the record says and whatever fails: the rules of the decision hold in every boot, and over all of them.
pub fn boot(data: &[u8]) {
    let Ok(story) = Story::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut disk = Disk {
        copies: story.copies.map(|copy| copy.map_or([0; RECORD_LEN], bytes)),
    };
    let begin = disk.record();
    let mut counted = [0_u32; 2];
    for script in story.boots.iter().take(MOST_BOOTS) {
        let before = disk.clone();
        let mut run = Run::new(&mut disk, script);
        run.boot();
        counted = [0, 1].map(|slot| counted[slot] + u32::from(run.counted[slot]));
        let started = run.started;
        if started == Some(Cause::Preferred) && script.menu.is_none() && before.record().is_some() {
            assert_eq!(disk, before, "starting a committed slot writes nothing");
        }
        if let Some(begin) = begin {
            let now = disk.record().expect("a record that is there stays there");
            assert_eq!(now.floor, begin.floor);
            assert_eq!(
                now.preferred, begin.preferred,
                "the loader never changes what is preferred"
            );
        }
    }
    for (slot, counted) in Slot::ALL.into_iter().zip(counted) {
        let tries = match begin.map(|record| record.slot(slot)) {
            Some(SlotState::Trial { tries }) => u32::from(tries),
            Some(_) => 0,
            None => continue,
        };
        assert!(counted <= tries, "a trial is loaded as often as it has tries");
    }
}

fn bytes(copy: Copy) -> [u8; RECORD_LEN] {
    let state = |state: &State| match *state {
        State::Empty => SlotState::Empty,
        State::Trial(tries) => SlotState::Trial { tries },
        State::Committed => SlotState::Committed,
        State::Bad(code) => SlotState::Bad(Reason::from_code(code)),
    };
    let record = Record {
        slots: [state(&copy.slots[0]), state(&copy.slots[1])],
        preferred: if copy.prefers_b { Slot::B } else { Slot::A },
        floor: version(copy.floor),
    };
    encode(copy.generation, &record)
}

fn version(number: u8) -> Version {
    Version::new(0, u16::from(number / 16), u16::from(number % 16))
}

/// BOOTSTATE.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Disk {
    copies: [[u8; RECORD_LEN]; 2],
}

impl Disk {
    fn record(&self) -> Option<Record> {
        load(&self.copies[0], &self.copies[1]).record
    }
}

/// A boot in progress: the loader with a script of failures.
struct Run<'a> {
    disk: &'a mut Disk,
    script: &'a BootScript,
    findings: [Result<Version, Reason>; 2],
    /// Slots that were attempted in this boot.
    attempted: [bool; 2],
    counted: [u8; 2],
    writes: u32,
    started: Option<Cause>,
}

/// A power cut.
struct PowerCut;

impl<'a> Run<'a> {
    fn new(disk: &'a mut Disk, script: &'a BootScript) -> Self {
        let findings = script.findings.map(|found| match found {
            Ok(number) => Ok(version(number)),
            Err(code) => Err(Reason::from_code(code)),
        });
        Run {
            disk,
            script,
            findings,
            attempted: [false; 2],
            counted: [0; 2],
            writes: 0,
            started: None,
        }
    }

    fn boot(&mut self) {
        let loaded = load(&self.disk.copies[0], &self.disk.copies[1]);
        let mut boot = Boot::new(&loaded, self.findings);
        if let Some(b) = self.script.menu {
            boot.choose(if b { Slot::B } else { Slot::A });
        }
        // Five turns, and the end.
        for _ in 0..6 {
            let record = *boot.record();
            match boot.step() {
                Step::Refuse { .. } => {}
                Step::Try(attempt) => {
                    self.check(&record, &attempt);
                    match self.attempt(&mut boot, &attempt) {
                        Ok(None) => {
                            self.started = Some(attempt.cause);
                            return;
                        }
                        Ok(Some(reason)) => boot.failed(attempt.slot, reason),
                        Err(PowerCut) => return,
                    }
                }
                Step::Exhausted(record) => {
                    self.check_exhausted(&boot);
                    if let Some(record) = record {
                        self.write(&mut boot, &record).ok();
                    }
                    return;
                }
            }
        }
        panic!("the decision comes to no end");
    }

    /// Does what the loader does with an attempt; returns the reason why it failed.
    fn attempt(&mut self, boot: &mut Boot, attempt: &Attempt) -> Result<Option<Reason>, PowerCut> {
        let number = self.attempted.iter().filter(|attempted| **attempted).count();
        self.attempted[attempt.slot.index()] = true;
        if let Some(record) = attempt.before_load {
            if !self.write(boot, &record)? {
                return Ok(Some(Reason::RecordNotWritten));
            }
            self.counted[attempt.slot.index()] += 1;
        }
        let outcome = self
            .script
            .attempts
            .get(number)
            .copied()
            .unwrap_or(Outcome::Starts);
        if let Outcome::DoesNotLoad(code) = outcome {
            let reason = Reason::from_code(code);
            let uncounted = reason == Reason::RecordNotWritten;
            return Ok(Some(if uncounted { Reason::ReadFailed } else { reason }));
        }
        if let Some(record) = attempt.before_start {
            self.write(boot, &record)?;
        }
        match outcome {
            Outcome::ComesBack => Ok(Some(Reason::StartFailed)),
            _ => Ok(None),
        }
    }

    fn write(&mut self, boot: &mut Boot, record: &Record) -> Result<bool, PowerCut> {
        let number = self.writes;
        self.writes += 1;
        if self.script.failing_writes >> number.min(7) & 1 == 1 {
            return Ok(false);
        }
        let loaded = load(&self.disk.copies[0], &self.disk.copies[1]);
        let (at, bytes) = loaded.next(record);
        let copy = COPY_OFFSETS
            .iter()
            .position(|offset| *offset == at)
            .expect("a place of a copy");
        match self.script.power_cut {
            Some((cut, len)) if u32::from(cut) == number => {
                let len = usize::from(len) % RECORD_LEN;
                self.disk.copies[copy][..len].copy_from_slice(&bytes[..len]);
                Err(PowerCut)
            }
            _ => {
                self.disk.copies[copy] = bytes;
                boot.stored(*record);
                Ok(true)
            }
        }
    }

    /// Checks the rules that hold for any attempt, given the record before it.
    fn check(&self, record: &Record, attempt: &Attempt) {
        let slot = attempt.slot;
        let state = record.slot(slot);
        assert_eq!(
            self.findings[slot.index()],
            Ok(attempt.version),
            "only what is verified is started"
        );
        assert!(
            attempt.version >= record.floor,
            "nothing below the floor is started"
        );
        assert!(
            !self.attempted[slot.index()],
            "what failed is not tried again in the same boot"
        );
        assert_ne!(state, SlotState::Empty);
        let counts = record.spend_try(slot);
        let last_resort = matches!(state, SlotState::Bad(_) | SlotState::Trial { tries: 0 });
        match attempt.cause {
            Cause::Preferred => assert!(slot == record.preferred && state == SlotState::Committed),
            Cause::Trial => assert!(
                slot == record.preferred && counts.is_some(),
                "an exhausted trial is preferred"
            ),
            Cause::Fallback if last_resort => {
                assert!(
                    (attempt.before_load, attempt.before_start) == (None, None),
                    "it changes nothing"
                );
                let other = record.slot(slot.other());
                let regular =
                    other == SlotState::Committed || matches!(other, SlotState::Trial { tries: 1.. });
                assert!(
                    !regular || !self.can_start(record, slot.other()),
                    "an abandoned slot is last"
                );
            }
            Cause::Fallback => assert_ne!(slot, record.preferred),
            Cause::Menu => assert_eq!(Some(slot == Slot::B), self.script.menu),
        }
        assert_eq!(
            attempt.before_load, counts,
            "a trial is counted, and nothing else is"
        );
        if let Some(after) = attempt.before_start {
            let other = slot.other();
            assert_eq!(after.slot(slot), counts.unwrap_or(*record).slot(slot));
            assert_eq!((after.preferred, after.floor), (record.preferred, record.floor));
            let marked = matches!(after.slot(other), SlotState::Bad(_));
            assert!(
                marked || after.slot(other) == record.slot(other),
                "the other slot is marked bad, or left alone"
            );
        }
    }

    /// Returns true if a slot could still be attempted.
    fn can_start(&self, record: &Record, slot: Slot) -> bool {
        let verified = self.findings[slot.index()].is_ok_and(|version| version >= record.floor);
        verified && !self.attempted[slot.index()] && record.slot(slot) != SlotState::Empty
    }

    fn check_exhausted(&self, boot: &Boot) {
        for slot in Slot::ALL {
            assert!(
                !self.can_start(boot.record(), slot),
                "slot {slot} could have been started"
            );
        }
    }
}
