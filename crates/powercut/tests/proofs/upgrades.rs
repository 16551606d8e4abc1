//! Upgrades: wherever one is interrupted, the old system boots until the new one is complete, and the next run finishes.

use std::io::Cursor;
use std::ops::ControlFlow;

use powercut::{
    Broken, Disk, Image, Node, Options, Outcome, Places, Recorder, Recording, State, Tally, explore, report,
};
use samples::{Recipe, Release};
use slots::{Reason, Record, Slot, SlotState, TRIAL_TRIES, Version};
use upgrade::{Choice, SlotRecord, Slots, install};

use crate::support::{Fault, build, ensure, fill, id, node, noise, places, recipe, slot_size, trusted};

/// What slot B holds before slot B is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Empty,
    Noise,
    Committed,
    Bad,
    Half,
}

/// An upgrade from slot A to slot B.
struct Upgrade {
    node: Node,
    places: Places,
    old: Release,
    new: Release,
}

impl Upgrade {
    /// Takes two releases whose roots have this length; the new one has patches or not.
    fn new(len: usize, patched: bool) -> Self {
        let old = build(&recipe(2, len));
        let mut recipe = Recipe {
            floor: Version::new(1, 0, 0),
            ..recipe(3, len)
        };
        recipe.from.extend(patched.then_some(&old));
        Self {
            node: node(),
            places: places(slot_size(len)),
            new: build(&recipe),
            old: old.clone(),
        }
    }

    fn disk(&self, before: Before) -> Image {
        let slot = self.places.slots[1];
        let mut disk = Image::new(slot.end(), 0);
        fill(&mut disk, &self.places, Slot::A, &self.old);
        let state = match before {
            Before::Empty => SlotState::Empty,
            Before::Noise => {
                disk.write(slot.start, &noise(slot.len as usize, 5));
                SlotState::Bad(Reason::ManifestMissing)
            }
            Before::Committed | Before::Bad => {
                fill(
                    &mut disk,
                    &self.places,
                    Slot::B,
                    &build(&recipe(1, self.old.slot.len() / 2)),
                );
                if before == Before::Committed {
                    SlotState::Committed
                } else {
                    SlotState::Bad(Reason::NotHealthy)
                }
            }
            Before::Half => {
                let half = self.new.slot.len() / 2 / 512 * 512;
                disk.write(slot.start, &self.new.slot[..half]);
                SlotState::Empty
            }
        };
        let record = Record::initial().with_slot(Slot::B, state);
        for _ in 0..2 {
            let (offset, bytes) = Node::record(&disk, &self.places).next(&record);
            disk.write(self.places.record.start + offset, &bytes);
        }
        disk
    }

    /// Runs the real upgrade on a disk, from slot A.
    fn install(&self, disk: &Image) -> (Recording, Choice) {
        let disk = Disk::new(disk.clone());
        let choice = self.go_on(&disk, usize::MAX).unwrap();
        (disk.finish(), choice)
    }

    /// Runs the upgrade on an open disk, and stops it after this many progress reports.
    fn go_on(&self, disk: &Disk, patience: usize) -> Result<Choice, upgrade::Error> {
        let mut release = upgrade::Release::open(Cursor::new(&self.new.bundle[..]), &[trusted()]).unwrap();
        let mut parts = upgrade::Disk {
            bootstate: &mut disk.open(self.places.record),
            slots: Slots {
                running: &mut disk.open(self.places.slots[0]),
                old: &self.old.manifest,
                target: &mut disk.open(self.places.slots[1]),
                slot: Slot::B,
            },
        };
        let mut told = 0;
        let control = &mut |_| {
            told += 1;
            if told > patience {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        Ok(install(&mut release, &mut parts, control)?.plan.choice)
    }

    /// Switches the machine on, and returns what runs. It must be the old system, or all of the new one.
    fn boot(&self, state: &Image) -> Result<(Image, Slot), Fault> {
        let record = Node::record(state, &self.places).record;
        let record = record.ok_or_else(|| Fault("the slot record is lost".to_owned()))?;
        let mut medium = Recorder::new(state.clone());
        let outcome = self.node.boot(&mut medium, &self.places).unwrap();
        let Outcome::Started(started) = outcome else {
            return Err(Fault(format!("nothing boots: {outcome:?} with {record:?}")));
        };
        let (armed, expected) = match record.slot(Slot::B) {
            SlotState::Trial { tries: 1.. } => (Slot::B, &self.new),
            SlotState::Committed if record.preferred == Slot::B => (Slot::B, &self.new),
            _ => (Slot::A, &self.old),
        };
        let right = started.slot == armed && started.manifest == id(expected) && started.whole;
        ensure(right, || format!("{started:?} with {record:?}"))?;
        ensure(started.version >= record.floor, || {
            format!("{started:?} is below {record:?}")
        })?;
        Ok((medium.image().clone(), armed))
    }

    /// Checks that what the disk says about its slots is true, so that nothing depends on which one is tried first.
    fn is_true(&self, state: &Image) -> Result<(), Fault> {
        let record = Node::record(state, &self.places).record;
        let record = record.ok_or_else(|| Fault("the slot record is lost".to_owned()))?;
        ensure(record.slot(Slot::A) == SlotState::Committed, || {
            format!("{record:?}")
        })?;
        for slot in Slot::ALL {
            let called_good = matches!(record.slot(slot), SlotState::Committed | SlotState::Trial { .. });
            let manifest = self.node.manifest(state, &self.places, slot).is_ok();
            let whole = self.node.is_whole(state, &self.places, slot);
            ensure(whole || !called_good, || {
                format!("slot {slot} is not whole, with {record:?}")
            })?;
            // So that not even the loss of BOOTSTATE makes the loader start an incomplete system.
            ensure(whole || !manifest, || {
                format!("slot {slot} has a manifest, but is not whole")
            })?;
        }
        Ok(())
    }

    /// Checks that an upgrade is complete.
    fn is_done(&self, disk: &Image, done: &Image) -> Result<(), Fault> {
        for extent in self.places.slots {
            ensure(disk.digest_of(extent) == done.digest_of(extent), || {
                format!("the slot at {} does not hold the right bytes", extent.start)
            })?;
        }
        let record = Node::record(disk, &self.places).record;
        let armed = |record: Record| {
            record.slots == [SlotState::Committed, SlotState::Trial { tries: TRIAL_TRIES }]
                && record.preferred == Slot::B
        };
        ensure(record.is_some_and(armed), || {
            format!("the new slot is not on trial: {record:?}")
        })
    }

    /// What must hold after a cut: the right system boots, and the next run of the upgrade finishes it.
    fn check(&self, state: &State, done: &Image, resume: bool) -> Result<Option<Recording>, Fault> {
        self.is_true(&state.image)?;
        let (disk, runs) = self.boot(&state.image)?;
        if runs == Slot::B || !resume {
            return Ok(None);
        }
        let (again, _) = self.install(&disk);
        ensure(again.is_durable(), || "something is left in a cache".to_owned())?;
        self.is_done(&again.after, done)?;
        Ok(Some(again))
    }
}

/// Cuts an upgrade everywhere. Every `resume`-th state is completed, and a few of these runs are cut again.
fn prove(
    upgrade: &Upgrade,
    step: &Recording,
    done: &Image,
    resume: u64,
) -> Result<(Tally, u64), Broken<Fault>> {
    let options = Options::from_env();
    let (mut seen, mut resumed) = (0, 0);
    let mut again = Vec::new();
    let mut tally = explore(step, &options, |state| {
        seen += 1;
        let resume = seen % resume == 0 || matches!(state.how, powercut::How::After(_));
        let second = upgrade.check(state, done, resume)?;
        resumed += u64::from(second.is_some());
        again.extend(second.filter(|_| resumed % 150 == 0));
        Ok(())
    })?;
    let few = options.samples(20);
    for second in again {
        tally += explore(&second, &few, |state| {
            upgrade.check(state, done, false).map(|_| ())
        })?;
    }
    Ok((tally, resumed))
}

fn passes(name: &str, upgrade: &Upgrade, before: Before, choice: Choice, resume: u64) -> Tally {
    let (step, chosen) = upgrade.install(&upgrade.disk(before));
    assert_eq!(chosen, choice);
    assert!(step.is_durable());
    upgrade.is_done(&step.after, &step.after).unwrap();
    let (tally, resumed) = prove(upgrade, &step, &step.after, resume).unwrap();
    report(
        &format!("upgrade, {name}, slot B {before:?}, {resumed} of them resumed"),
        tally,
    );
    tally
}

const ALL: [Before; 5] = [
    Before::Empty,
    Before::Noise,
    Before::Committed,
    Before::Bad,
    Before::Half,
];

#[test]
fn without_patches() {
    let upgrade = Upgrade::new(150_000, false);
    for before in ALL {
        passes("without patches", &upgrade, before, Choice::Blocks, 1);
    }
}

#[test]
fn with_patches() {
    let upgrade = Upgrade::new(150_000, true);
    for before in ALL {
        passes("with patches", &upgrade, before, Choice::Patches, 1);
    }
}

/// Several extents, and many groups.
#[test]
fn a_larger_slot() {
    let upgrade = Upgrade::new(4_700_000, true);
    let tally = passes(
        "5 MB with patches",
        &upgrade,
        Before::Committed,
        Choice::Patches,
        300,
    );
    assert!(tally.generated > 10_000, "{tally:?}");
}

/// It is stopped and started again, more than once, and the caches keep what was not flushed in between.
#[test]
fn stopped_and_restarted() {
    let upgrade = Upgrade::new(700_000, false);
    let disk = Disk::new(upgrade.disk(Before::Committed));
    let (mut stops, mut written) = (0, 0);
    while let Err(error) = upgrade.go_on(&disk, 4 + stops) {
        assert!(matches!(error, upgrade::Error::Stopped), "{error}");
        stops += 1;
        written = disk.finish().writes();
    }
    let step = disk.finish();
    let (whole, _) = upgrade.install(&step.before);
    let all = step.writes();
    assert!(
        stops > 2 && written > 3,
        "{stops} stops, {written} of {all} writes before the last"
    );
    upgrade.is_done(&step.after, &whole.after).unwrap();
    let (tally, resumed) = prove(&upgrade, &step, &step.after, 100).unwrap();
    report(
        &format!("upgrade stopped {stops} times, {resumed} of them resumed"),
        tally,
    );
}

/// The new system is tried, and kept or abandoned; after that it can be installed again.
#[test]
fn a_trial() {
    let upgrade = Upgrade::new(20_000, true);
    let places = upgrade.places;
    let done = upgrade.install(&upgrade.disk(Before::Empty)).0.after;
    let options = Options::from_env();
    let mut tally = Tally::new(&options);
    let mut cut = |step: &Recording| {
        let check = |state: &State| upgrade.check(state, &done, false).map(|_| ());
        tally += explore(step, &options, check).unwrap();
    };
    let mut disk = done.clone();
    for tries in 1..=TRIAL_TRIES {
        let mut medium = Recorder::new(disk.clone());
        let outcome = upgrade.node.boot(&mut medium, &places).unwrap();
        assert!(matches!(outcome, Outcome::Started(started) if started.slot == Slot::B));
        let start = medium.finish();
        cut(&start);
        disk = start.after;
        let record = Node::record(&disk, &places).record.unwrap();
        let left = TRIAL_TRIES - tries;
        assert_eq!(record.slot(Slot::B), SlotState::Trial { tries: left });

        let kept = record.commit(Slot::B).raise_floor(upgrade.new.manifest.floor);
        let open = Disk::new(disk.clone());
        let mut partition = open.open(places.record);
        let mut store = SlotRecord::new(&mut partition);
        let loaded = store.read().unwrap();
        store.write(&loaded, &kept).unwrap();
        let commit = open.finish();
        cut(&commit);
        let (_, runs) = upgrade.boot(&commit.after).unwrap();
        assert_eq!(runs, Slot::B);
    }
    let mut medium = Recorder::new(disk);
    let outcome = upgrade.node.boot(&mut medium, &places).unwrap();
    assert!(matches!(outcome, Outcome::Started(started) if started.slot == Slot::A));
    let fallback = medium.finish();
    cut(&fallback);
    let record = Node::record(&fallback.after, &places).record.unwrap();
    assert_eq!(record.slot(Slot::B), SlotState::Bad(Reason::TriesExhausted));
    let (again, choice) = upgrade.install(&fallback.after);
    assert_eq!(choice, Choice::Nothing, "it is complete: it only gets new tries");
    cut(&again);
    upgrade.is_done(&again.after, &done).unwrap();
    report("trial, kept or abandoned", tally);
}

/// The proof can fail: writers that omit a flush, or change the order of the steps, are caught.
#[test]
fn writers_that_break_a_rule_are_caught() {
    let upgrade = Upgrade::new(20_000, false);
    let (right, _) = upgrade.install(&upgrade.disk(Before::Committed));
    let caught = |wrong: &Recording| prove(&upgrade, wrong, &right.after, u64::MAX).is_err();
    assert_eq!(right.syncs(), 5, "record, old manifest, data, manifest, record");
    assert!(!caught(&right));
    let forgotten = (0..5).map(|sync| caught(&right.without_sync(sync)));
    // Nothing follows the last one that depends on it; that it is there is checked in each run.
    assert_eq!(forgotten.collect::<Vec<_>>(), [true, true, true, true, false]);
    assert!(!right.without_sync(4).is_durable());
    for (order, what) in [
        ([1, 0, 2, 3, 4], "the old manifest goes before the record says so"),
        ([0, 2, 1, 3, 4], "data is written under the old manifest"),
        ([0, 1, 3, 2, 4], "the manifest comes before the data"),
        ([0, 1, 2, 4, 3], "the trial is armed before the manifest is there"),
        ([4, 0, 1, 2, 3], "the trial is armed first"),
    ] {
        assert!(caught(&right.in_order(&order)), "{what}");
    }
}
