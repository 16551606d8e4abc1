//! Power cuts while a release with new keys is committed: record first, then the key chain.

use layout::Extent;
use manifest::chain::{self, Link};
use manifest::{Arch, TrustedKey, trailer};
use powercut::{
    Broken, Disk, Image, Node, Options, Outcome, Places, Recorder, Recording, State, explore, report,
};
use samples::{Recipe, Signer};
use slots::{Record, Slot, SlotState, TRIAL_TRIES, Version};
use upgrade::SlotRecord;

use super::chain_file;
use super::commit::kept;
use super::record::InSlot;

const MIB: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

/// A node on trial with a release that retires the key that its loader was built with.
struct World {
    places: Places,
    node: Node,
    new: InSlot,
    keys: [TrustedKey; 2],
    disk: Image,
}

fn world() -> World {
    let (old_key, new_key) = (Signer::default(), Signer::default());
    let keys = [old_key.key(), new_key.key()];
    let recipe = |version, key| Recipe {
        keys: vec![key],
        floor: Version::new(1, 0, 0),
        slot_size: MIB,
        ..Recipe::new(version, samples::noise(20_000, 1))
    };
    let old = recipe("1.0.0", keys[0]).build(&old_key);
    let new = recipe("2.0.0", keys[1]).build(&old_key);
    // Signed by both: by the trusted key, and by its new one.
    let texts = trailer::decode(&new.trailer).unwrap();
    let signatures = [texts.signatures, new_key.sign(texts.json).as_bytes()].concat();
    let new_in_slot = InSlot {
        manifest: new.manifest.clone(),
        json: texts.json.to_vec(),
        signatures,
    };
    let places = Places {
        record: Extent { start: 0, len: MIB },
        slots: [MIB, 2 * MIB].map(|start| Extent { start, len: MIB }),
    };
    let mut disk = Image::new(3 * MIB, 0);
    disk.write(places.slots[0].start, &old.slot);
    disk.write(places.trailer(Slot::A).start, &old.trailer);
    disk.write(places.slots[1].start, &new.slot);
    let area = trailer::encode(&new_in_slot.json, &new_in_slot.signatures).unwrap();
    disk.write(places.trailer(Slot::B).start, &area);
    for record in [
        Record::initial(),
        Record::initial().arm_trial(Slot::B, TRIAL_TRIES),
    ] {
        let (offset, bytes) = Node::record(&disk, &places).next(&record);
        disk.write(offset, &bytes);
    }
    World {
        places,
        node: Node::new(&keys[..1], Arch::Arm64),
        new: new_in_slot,
        keys,
        disk,
    }
}

impl World {
    /// Changes the record as a commit does.
    fn keep(&self, disk: &Disk) {
        let mut bootstate = disk.open(self.places.record);
        let mut store = SlotRecord::new(&mut bootstate);
        let loaded = store.read().unwrap();
        let record = loaded.record.unwrap();
        if record.slot(Slot::B) != SlotState::Committed {
            store
                .write(&loaded, &kept(&record, Slot::B, Some(&self.new)))
                .unwrap();
        }
    }

    /// Changes the key chain as a commit does, and as each start does that finds it incomplete.
    fn keep_keys(&self, disk: &Disk) {
        let mut bootstate = disk.open(self.places.record);
        let loaded = chain_file::read(&mut bootstate).unwrap();
        let link = Link {
            json: self.new.json.clone(),
            signatures: self.new.signatures.clone(),
        };
        if loaded.links.last() != Some(&link) {
            let links = chain::extend(&loaded.links, link).unwrap();
            chain_file::write(&mut bootstate, &loaded, &links).unwrap();
        }
    }

    fn recorded(&self, disk: &Image, acts: &[fn(&World, &Disk)]) -> Recording {
        let disk = Disk::new(disk.clone());
        acts.iter().for_each(|act| act(self, &disk));
        disk.finish()
    }

    /// The new system starts, committed or on trial, and continuing ends with its floor and its keys.
    fn check(&self, state: &State) -> Result<(), Fault> {
        let trusted = self.node.trusts(&state.image, &self.places);
        if ![&self.keys[..1], &self.keys[1..]].contains(&&trusted[..]) {
            return Err(Fault(format!("trusts {trusted:?}")));
        }
        let record = Node::record(&state.image, &self.places).record;
        let is_kept = record.is_some_and(|record| record.slot(Slot::B) == SlotState::Committed);
        if !is_kept && trusted != self.keys[..1] {
            return Err(Fault("the keys of a release that is not kept".to_owned()));
        }
        let mut medium = Recorder::new(state.image.clone());
        let outcome = self.node.boot(&mut medium, &self.places).unwrap();
        let right = matches!(&outcome, Outcome::Started(started) if started.slot == Slot::B && started.whole);
        if !right {
            return Err(Fault(format!("{outcome:?} with {record:?}")));
        }
        let again = self.recorded(medium.image(), &[World::keep, World::keep_keys]);
        let record = Node::record(&again.after, &self.places).record.unwrap();
        let done = record.slot(Slot::B) == SlotState::Committed
            && record.floor == self.new.manifest.floor
            && self.node.trusts(&again.after, &self.places) == self.keys[1..];
        if done && again.is_durable() {
            return Ok(());
        }
        Err(Fault(format!("going on ends with {record:?}")))
    }

    fn prove(&self, recording: &Recording) -> Result<powercut::Tally, Broken<Fault>> {
        explore(recording, &Options::from_env(), |state| self.check(state))
    }
}

#[test]
fn a_release_with_new_keys_is_finally_committed_with_them() {
    let world = world();
    let recording = world.recorded(&world.disk, &[World::keep, World::keep_keys]);
    let tally = world.prove(&recording).unwrap();
    report("keeping a release and its keys", tally);
    assert!(tally.generated > 100, "{tally:?}");
}

/// The proof can fail: keys of a release that is still on trial would lock out the system to fall back to.
#[test]
fn keys_before_the_commit_are_caught() {
    let world = world();
    let wrong = world.recorded(&world.disk, &[World::keep_keys, World::keep]);
    assert!(world.prove(&wrong).is_err());
    let unflushed = world
        .recorded(&world.disk, &[World::keep, World::keep_keys])
        .without_sync(0);
    assert!(world.prove(&unflushed).is_err());
}
