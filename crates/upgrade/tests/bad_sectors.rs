//! Sectors that cannot be read are repaired by writing, and their content is taken from elsewhere in the meantime.

mod support;

use std::ops::{ControlFlow, Range};

use manifest::trailer;
use samples::Signer;
use slots::{COPY_OFFSETS, Loaded, Record, Slot, SlotState, TRIAL_TRIES};
use support::{BadSectors, Counted, Node, SLOT_LEN, moved_root, release, root};
use upgrade::{Disk, SlotRecord, Slots};

const ARMED: SlotState = SlotState::Trial { tries: TRIAL_TRIES };

fn sector(at: u64) -> Range<u64> {
    at..at + 512
}

#[test]
fn an_upgrade_repairs_sectors_it_cannot_read() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = release("1.1.0", moved_root(), &signer);
    let mut node = Node::on(&old);
    let tree = old.manifest.slot.verity.tree_offset;
    let trailer = (SLOT_LEN - trailer::AREA) as u64;
    let mut target = BadSectors::with(&node.b, [0, 3 << 20, tree + 8192, trailer].map(sector));
    let mut running = BadSectors::with(&node.a, [5 << 20, tree + 4096, tree + 12_288].map(sector));
    let mut bundle = upgrade::Release::open(Counted::new(&new.bundle), &[signer.key()]).unwrap();
    let slots = Slots {
        running: &mut running,
        old: &old.manifest,
        target: &mut target,
        slot: Slot::B,
    };
    let mut disk = Disk {
        bootstate: &mut node.bootstate,
        slots,
    };
    upgrade::install(&mut bundle, &mut disk, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(target.unreadable.is_empty(), "{:?}", target.unreadable);
    node.b = target.medium;
    assert!(node.holds(&new));
    assert_eq!(node.record().slot(Slot::B), ARMED);
}

#[test]
fn one_copy_of_the_record_is_enough_and_the_other_is_repaired() {
    let signer = Signer::default();
    let mut node = Node::on(&release("1.0.0", root(), &signer));
    let mut store = SlotRecord::new(&mut node.bootstate);
    let first = store.read().unwrap();
    let armed = Record::initial().arm_trial(Slot::B, 3);
    store.write(&first, &armed).unwrap();
    for (number, at) in COPY_OFFSETS.into_iter().enumerate() {
        let mut worn = BadSectors::with(&node.bootstate, [sector(at)]);
        let seen = SlotRecord::new(&mut worn).read().unwrap();
        assert_eq!((seen.record.is_some(), seen.write_to), (true, number));
        let changed = seen.record.unwrap().mark_bad(Slot::B, slots::Reason::NotHealthy);
        SlotRecord::new(&mut worn).write(&seen, &changed).unwrap();
        assert!(worn.unreadable.is_empty());
    }
    let mut gone = BadSectors::with(&node.bootstate, COPY_OFFSETS.map(sector));
    assert!(SlotRecord::new(&mut gone).read().is_err());
}

#[test]
fn a_decision_based_on_an_older_record_is_not_written() {
    let signer = Signer::default();
    let mut node = Node::on(&release("1.0.0", root(), &signer));
    let mut store = SlotRecord::new(&mut node.bootstate);
    let before: Loaded = store.read().unwrap();
    let committed = Record::initial()
        .commit(Slot::B)
        .raise_floor("1.1.0".parse().unwrap());
    store.write(&before, &committed).unwrap();
    let error = store
        .write(&before, &Record::initial().erase(Slot::B))
        .unwrap_err();
    assert!(error.to_string().contains("in the meantime"), "{error}");
    assert_eq!(store.read().unwrap().record, Some(committed));
}
