//! The slot record: all histories of a node up to a length, with a power cut in each step.
//!
//! A history is a sequence of steps. The loader runs; a running system writes the record as upgrades, trials and rollbacks
//! do; a slot goes bad. Each state after a cut is a node that is switched off, and its history continues from there.

use std::collections::HashSet;

use medium::Medium as _;
use powercut::{
    Broken, Disk, Image, Node, Options, Outcome, Places, Recorder, Recording, State, Tally, explore, report,
};
use samples::Recipe;
use slots::{Reason, Record, Slot, SlotState, TRIAL_TRIES, Version};
use upgrade::SlotRecord;

use crate::support::{Fault, MIB, build, ensure, fill, node, places, recipe};

/// The number of steps in a history.
const LENGTH: usize = 15;

/// A state in a history.
#[derive(Clone)]
struct Moment {
    disk: Image,
    /// The running slot; none when the machine is off.
    runs: Option<Slot>,
    /// How often each slot was started on trial since it was armed.
    trials: [u8; 2],
}

/// What a running system may do.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Mark the other slot empty: before it is written, and when an armed one is cancelled.
    Retire,
    /// Put the other slot on trial, after it was written.
    Arm,
    /// Keep the running system, and raise the floor to its own.
    Commit,
    /// Go back to the other system, which is committed. One on trial is not tried again.
    Return,
    /// Abandon the running system, which is on trial and did not become healthy.
    Abandon,
    /// Abandon it, on trial or not, because its root is damaged.
    Damaged,
}

impl Move {
    const ALL: [Move; 6] = [
        Move::Retire,
        Move::Arm,
        Move::Commit,
        Move::Return,
        Move::Abandon,
        Move::Damaged,
    ];
}

struct World {
    node: Node,
    places: Places,
    /// The floor of the system in each slot.
    floors: [Version; 2],
    options: Options,
    tally: Tally,
}

impl World {
    /// Returns the record after a move; none when the move is not possible.
    fn moved(&self, disk: &Image, runs: Slot, what: Move) -> Option<Record> {
        let record = self.record(disk);
        let other = runs.other();
        let next = match (what, record.slot(runs), record.slot(other)) {
            (Move::Retire, SlotState::Committed, _) => Record {
                preferred: runs,
                ..record.erase(other)
            },
            (Move::Arm, SlotState::Committed, SlotState::Empty) => record.arm_trial(other, TRIAL_TRIES),
            (Move::Commit, SlotState::Trial { .. }, _) => {
                record.commit(runs).raise_floor(self.floors[runs.index()])
            }
            (Move::Return, left, SlotState::Committed) if self.startable(disk, &record, other) => {
                match left {
                    SlotState::Trial { .. } => record.erase(runs).commit(other),
                    _ => record.commit(other),
                }
            }
            (Move::Abandon, SlotState::Trial { .. }, SlotState::Committed) => {
                record.mark_bad(runs, Reason::NotHealthy)
            }
            (Move::Damaged, _, SlotState::Committed) => record.mark_bad(runs, Reason::RootHash),
            _ => return None,
        };
        (next != record).then_some(next)
    }

    fn record(&self, disk: &Image) -> Record {
        let loaded = Node::record(disk, &self.places);
        loaded.record.expect("checked in every state")
    }

    /// Makes a move with the code that nodes have, and returns what it did to the disk.
    fn make(&self, disk: &Image, record: &Record) -> Recording {
        let disk = Disk::new(disk.clone());
        let mut partition = disk.open(self.places.record);
        let mut store = SlotRecord::new(&mut partition);
        let loaded = store.read().unwrap();
        store.write(&loaded, record).unwrap();
        disk.finish()
    }

    /// Cuts the power everywhere in a step. Each state must hold the record before or after the write that was cut.
    fn cut(&mut self, step: &Recording) -> Result<Vec<Image>, Fault> {
        ensure(step.is_durable(), || {
            "a step is done when it is on the medium".to_owned()
        })?;
        let mut records = vec![self.record(&step.before)];
        let mut now = step.before.clone();
        for event in &step.events {
            match event {
                powercut::Event::Write(write) => write.apply(&mut now),
                powercut::Event::Sync(_) => records.push(self.record(&now)),
            }
        }
        let mut states = Vec::new();
        let (places, options) = (self.places, self.options);
        let check = |state: &State| {
            let found = Node::record(&state.image, &places).record;
            let allowed = &records[state.syncs..records.len().min(state.syncs + 2)];
            ensure(found.is_some_and(|found| allowed.contains(&found)), || {
                format!("{found:?}, but expected one of {allowed:?}")
            })?;
            states.push(state.image.clone());
            Ok(())
        };
        let broken = |broken: Broken<Fault>| Fault(format!("{broken}: {}", broken.source));
        self.tally += explore(step, &options, check).map_err(broken)?;
        Ok(states)
    }

    /// Returns true if the loader may start a slot: its decisions are compared with this.
    fn startable(&self, disk: &Image, record: &Record, slot: Slot) -> bool {
        let manifest = self.node.manifest(disk, &self.places, slot);
        record.slot(slot) != SlotState::Empty
            && manifest.is_ok_and(|manifest| manifest.version >= record.floor)
            && self.node.is_whole(disk, &self.places, slot)
    }

    /// Switches the machine on.
    fn boot(&mut self, moment: &Moment) -> Result<Vec<Moment>, Fault> {
        let before = self.record(&moment.disk);
        let startable = Slot::ALL.map(|slot| self.startable(&moment.disk, &before, slot));
        let mut medium = Recorder::new(moment.disk.clone());
        let outcome = self.node.boot(&mut medium, &self.places).unwrap();
        let step = medium.finish();
        let mut next = Vec::new();
        for disk in self.cut(&step)? {
            next.push(Moment {
                disk,
                runs: None,
                ..moment.clone()
            });
        }
        let Outcome::Started(started) = outcome else {
            ensure(!startable.contains(&true), || {
                format!("stuck with {before:?}, but {startable:?}")
            })?;
            return Ok(next);
        };
        let slot = started.slot;
        ensure(startable[slot.index()] && started.whole, || {
            format!("{started:?} with {before:?}")
        })?;
        ensure(started.version >= before.floor, || {
            format!("{started:?} is below {before:?}")
        })?;
        let mut trials = moment.trials;
        // A last resort is not counted: nothing else is left.
        if let (SlotState::Trial { tries: 1.. }, after) = (before.slot(slot), self.record(&step.after)) {
            trials[slot.index()] += 1;
            ensure(trials[slot.index()] <= TRIAL_TRIES, || {
                format!("{trials:?} starts on trial with {before:?}")
            })?;
            ensure(after.slot(slot) != before.slot(slot), || {
                format!("{before:?} was not counted: {after:?}")
            })?;
        }
        let runs = Moment {
            disk: step.after,
            runs: Some(slot),
            trials,
        };
        // From here the trials are counted: a machine that is cut off while the system runs must remember them.
        next.push(Moment {
            runs: None,
            ..runs.clone()
        });
        next.push(runs);
        Ok(next)
    }

    /// Does everything that a running system may do.
    fn run(&mut self, moment: &Moment, runs: Slot) -> Result<Vec<Moment>, Fault> {
        let mut next = Vec::new();
        for what in Move::ALL {
            let Some(record) = self.moved(&moment.disk, runs, what) else {
                continue;
            };
            let step = self.make(&moment.disk, &record);
            let off = self.cut(&step)?.into_iter().map(|disk| (disk, None));
            for (disk, runs) in off.chain([(step.after, Some(runs))]) {
                // With all tries left, none was used.
                let fresh = |slot| self.record(&disk).slot(slot) == SlotState::Trial { tries: TRIAL_TRIES };
                let mut trials = moment.trials;
                for slot in Slot::ALL.into_iter().filter(|slot| fresh(*slot)) {
                    trials[slot.index()] = 0;
                }
                next.push(Moment { disk, runs, trials });
            }
        }
        Ok(next)
    }

    /// Lets a slot's kernel go bad, unless the other one's already is.
    fn rot(&self, moment: &Moment) -> Vec<Moment> {
        let whole = |slot| self.node.is_whole(&moment.disk, &self.places, slot);
        if !Slot::ALL.into_iter().all(whole) {
            return Vec::new();
        }
        let rotten = Slot::ALL.into_iter().map(|slot| {
            let mut disk = moment.disk.clone();
            disk.write(self.places.slots[slot.index()].start + 5000, b"rot");
            Moment {
                disk,
                ..moment.clone()
            }
        });
        rotten.collect()
    }
}

/// A node as it was flashed, whose slot B holds a second system with this floor.
fn world(floor: Version) -> (World, Image) {
    let places = places(MIB);
    let mut disk = Image::new(3 * MIB, 0);
    let second = Recipe {
        floor,
        ..recipe(2, 20_000)
    };
    fill(&mut disk, &places, Slot::A, &build(&recipe(1, 20_000)));
    fill(&mut disk, &places, Slot::B, &build(&second));
    for _ in 0..2 {
        let (offset, bytes) = Node::record(&disk, &places).next(&Record::initial());
        disk.write(places.record.start + offset, &bytes);
    }
    let options = Options::from_env();
    let world = World {
        node: node(),
        places,
        floors: [Version::default(), floor],
        options,
        tally: Tally::new(&options),
    };
    (world, disk)
}

/// Explores all histories of such a node.
fn live(floor: Version) -> Result<Tally, Fault> {
    let (mut world, disk) = world(floor);
    let mut seen = HashSet::new();
    let mut moments = vec![Moment {
        disk,
        runs: None,
        trials: [0; 2],
    }];
    for _ in 0..LENGTH {
        let mut next = Vec::new();
        for moment in moments {
            if !seen.insert((moment.disk.digest(), moment.runs, moment.trials)) {
                continue;
            }
            match moment.runs {
                None => next.extend(world.boot(&moment)?),
                Some(runs) => next.extend(world.run(&moment, runs)?),
            }
            next.extend(world.rot(&moment));
        }
        moments = next;
    }
    Ok(world.tally)
}

#[test]
fn a_release_that_leaves_the_floor_alone() {
    let tally = live(Version::default()).unwrap();
    report("slot record, floor unchanged", tally);
    assert!(tally.generated > 15_000, "{tally:?}");
}

#[test]
fn a_release_that_raises_the_floor() {
    let tally = live(Version::new(2, 0, 0)).unwrap();
    report("slot record, floor raised", tally);
    assert!(tally.generated > 15_000, "{tally:?}");
}

/// The proof can fail: writers that break a rule are caught.
#[test]
fn writers_that_break_a_rule_are_caught() {
    let (mut world, disk) = world(Version::default());
    // With another record in each copy.
    let floored = Record::initial().raise_floor(Version::new(0, 1, 0));
    let disk = world.make(&disk, &floored).after;
    let record = floored.arm_trial(Slot::B, TRIAL_TRIES);
    let loaded = Node::record(&disk, &world.places);
    let (offset, bytes) = loaded.next(&record);
    let mut step = |offset: u64, sync: bool| {
        let mut medium = Recorder::new(disk.clone());
        medium
            .write_at(world.places.record.start + offset, &bytes)
            .unwrap();
        if sync {
            medium.sync().unwrap();
        }
        world.cut(&medium.finish())
    };
    assert!(step(offset, true).is_ok(), "the older copy, and a flush");
    let [first, second] = slots::COPY_OFFSETS;
    let newer = first + second - offset;
    assert!(step(newer, true).is_err(), "torn, it takes the record along");
    assert!(step(offset, false).is_err(), "nobody waits for the medium");
}
