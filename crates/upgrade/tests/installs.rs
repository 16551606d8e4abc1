//! Upgrades end with the right bytes, fetch few, and continue wherever they were interrupted.

mod support;

use std::ops::ControlFlow;

use samples::{Ram, Recipe, Release, Signer, noise};
use slots::{Slot, SlotState, TRIAL_TRIES};
use support::{Counted, Forgetful, Node, changed_root, moved_root, release, root};
use upgrade::{Choice, Disk, Error, Slots, Stage};

const ARMED: SlotState = SlotState::Trial { tries: TRIAL_TRIES };

fn patched(old: &Release, signer: &Signer) -> Release {
    let recipe = Recipe::new("1.1.0", changed_root());
    Recipe {
        from: vec![old],
        ..recipe
    }
    .build(signer)
}

#[test]
fn patches_fetch_little_and_make_the_right_bytes() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut node = Node::on(&old);
    let mut source = Counted::new(&new.bundle);
    let report = node.install(&mut source, signer.key()).unwrap();
    assert!(node.holds(&new));
    assert_eq!(node.record().slot(Slot::B), ARMED);
    assert_eq!(node.record().preferred, Slot::B);
    assert_eq!(node.record().slot(Slot::A), SlotState::Committed);
    assert_eq!(node.a.0, Node::on(&old).a.0, "the running slot is only read");
    assert_eq!(report.plan.choice, Choice::Patches);
    assert_eq!(report.plan.cost.frames, 0);
    assert_eq!(
        source.read,
        report.plan.cost.total(),
        "the plan says what is fetched"
    );
    assert_eq!(report.progress.fetched, report.plan.cost.total());
    // Apart from manifest and indexes, which are the same for any size: two changes in 9 MiB.
    assert!(
        report.plan.cost.total() - report.plan.cost.overhead < 12_000,
        "{report:?}"
    );
    assert_eq!(source.expected.len(), 3, "three extents, one after the other");
}

#[test]
fn without_patches_blocks_of_the_running_slot_are_used() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = release("1.1.0", moved_root(), &signer);
    let mut node = Node::on(&old);
    let mut source = Counted::new(&new.bundle);
    let report = node.install(&mut source, signer.key()).unwrap();
    assert!(node.holds(&new));
    assert_eq!(report.plan.choice, Choice::Blocks);
    assert_eq!(source.read, report.plan.cost.total());
    assert!(report.plan.percent() < 12.0, "{}", report.plan.percent());
    assert!(report.plan.copied > 8 << 20);
}

#[test]
fn an_unrelated_release_is_fetched_whole_and_never_costs_more() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let recipe = Recipe {
        kernel: noise(50_000, 3),
        from: vec![&old],
        ..Recipe::new("2.0.0", noise(10 << 20, 5))
    };
    let with_patches = recipe.build(&signer);
    let without = Recipe {
        from: Vec::new(),
        ..recipe
    }
    .build(&signer);
    for new in [with_patches, without] {
        let mut node = Node::on(&old);
        let mut source = Counted::new(&new.bundle);
        let report = node.install(&mut source, signer.key()).unwrap();
        assert!(node.holds(&new));
        assert!(report.plan.percent() <= 100.0, "{report:?}");
        assert!(source.read <= new.bundle.len() as u64);
        assert_eq!(source.read, report.plan.cost.total());
    }
}

#[test]
fn a_complete_slot_is_only_armed() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut node = Node::on(&old);
    node.install(Counted::new(&new.bundle), signer.key()).unwrap();
    let before = node.clone();
    let report = node.install(Counted::new(&new.bundle), signer.key()).unwrap();
    assert_eq!(report.plan.choice, Choice::Nothing);
    assert_eq!(report.progress.written, 0);
    assert_eq!(
        node.bootstate, before.bootstate,
        "not even the record is written again"
    );
    assert_eq!(node.b, before.b);
}

/// For a restart that comes later: everything is written at once, and nothing is tried before it is armed.
#[test]
fn a_written_slot_is_not_on_trial_before_it_is_armed() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut node = Node::on(&old);
    let go_on = &mut |_| ControlFlow::Continue(());
    let mut bundle = upgrade::Release::open(Counted::new(&new.bundle), &[signer.key()]).unwrap();
    let Node { bootstate, a, b, .. } = &mut node;
    let slots = Slots {
        running: a,
        old: &old.manifest,
        target: b,
        slot: Slot::B,
    };
    let mut disk = Disk { bootstate, slots };
    let prepared = upgrade::prepare(&mut bundle, &mut disk.slots, go_on).unwrap();
    let planned = prepared.plan.clone();
    let report = upgrade::carry_out(&mut bundle, &mut disk, prepared, go_on).unwrap();
    assert_eq!(report.plan, planned);
    assert_eq!(report.progress.fetched, planned.cost.total());
    let extents: u64 = planned.extents.iter().map(|extent| extent.fetch).sum();
    assert_eq!(extents, planned.cost.patches + planned.cost.frames);
    assert!(node.holds(&new));
    assert_eq!(
        (node.record().slot(Slot::B), node.record().preferred),
        (SlotState::Empty, Slot::A)
    );
    upgrade::arm(&mut node.bootstate, Slot::B).unwrap();
    assert_eq!(
        (node.record().slot(Slot::B), node.record().preferred),
        (ARMED, Slot::B)
    );
    upgrade::disarm(&mut node.bootstate, Slot::B).unwrap();
    assert_eq!(
        (node.record().slot(Slot::B), node.record().preferred),
        (SlotState::Empty, Slot::A)
    );
    assert!(node.holds(&new));
}

/// Stops wherever an upgrade may be stopped, and continues, as often as it takes.
#[test]
fn an_upgrade_continues_after_every_stop() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let whole = Node::on(&old)
        .install(Counted::new(&new.bundle), signer.key())
        .unwrap();
    let mut patience = 0;
    loop {
        let mut node = Node::on(&old);
        let mut left = patience;
        let stopped = node.install_controlled(Counted::new(&new.bundle), signer.key(), &mut |_| {
            left -= 1;
            if left < 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if stopped.is_ok() {
            break;
        }
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert_ne!(node.record().slot(Slot::B), ARMED, "stopped at {patience}");
        assert_eq!(node.record().preferred, Slot::A);
        let again = node.install(Counted::new(&new.bundle), signer.key()).unwrap();
        assert!(node.holds(&new), "stopped at {patience}");
        assert!(again.plan.cost.total() <= whole.plan.cost.total());
        patience += 1;
    }
    assert!(patience > 10, "stopped at {patience} places");
}

/// The running slot was abandoned once, and is healthy today: it is the only one to fall back to when the new one fails.
#[test]
fn an_abandoned_slot_is_committed_before_the_other_is_written() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut node = Node::on(&old);
    let mut store = upgrade::SlotRecord::new(&mut node.bootstate);
    let before = store.read().unwrap();
    let given_up = before.record.unwrap().commit(Slot::B);
    let given_up = given_up.mark_bad(Slot::A, slots::Reason::NotHealthy);
    store.write(&before, &given_up).unwrap();
    node.install(Counted::new(&new.bundle), signer.key()).unwrap();
    assert_eq!(node.record().slot(Slot::B), ARMED);
    assert_eq!(node.record().slot(Slot::A), SlotState::Committed);
}

/// After a failed write, Linux keeps showing what was to be written.
#[test]
fn bytes_that_only_the_cache_holds_are_written_again() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut done = Node::on(&old);
    done.install(Counted::new(&new.bundle), signer.key()).unwrap();
    let Node { bootstate, a, b, .. } = &mut Node::on(&old);
    let lost = |medium: &Ram, shown: Ram| Forgetful {
        medium: medium.clone(),
        cache: Some(shown),
    };
    let (mut bootstate, mut b) = (lost(bootstate, done.bootstate), lost(b, done.b));
    let mut bundle = upgrade::Release::open(Counted::new(&new.bundle), &[signer.key()]).unwrap();
    let slots = Slots {
        running: a,
        old: &old.manifest,
        target: &mut b,
        slot: Slot::B,
    };
    let mut disk = Disk {
        bootstate: &mut bootstate,
        slots,
    };
    upgrade::install(&mut bundle, &mut disk, &mut |_| ControlFlow::Continue(())).unwrap();
    let mut node = Node {
        bootstate: bootstate.medium,
        b: b.medium,
        ..Node::on(&old)
    };
    assert!(node.holds(&new));
    assert_eq!(node.record().slot(Slot::B), ARMED);
}

#[test]
fn damage_in_the_running_slot_is_repaired_with_frames() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    for new in [patched(&old, &signer), release("1.1.0", moved_root(), &signer)] {
        let mut node = Node::on(&old);
        for at in (0..old.data_len()).step_by(1 << 20) {
            node.a.0[at + 77] ^= 4;
        }
        let report = node.install(Counted::new(&new.bundle), signer.key()).unwrap();
        assert!(node.holds(&new));
        assert!(report.progress.fetched > report.plan.cost.total());
    }
}

#[test]
fn a_running_tree_that_is_damaged_is_not_used() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = release("1.1.0", moved_root(), &signer);
    let mut node = Node::on(&old);
    let tree = old.data_len();
    node.a.0[tree..old.slot.len()].fill(9);
    let report = node.install(Counted::new(&new.bundle), signer.key()).unwrap();
    assert!(node.holds(&new));
    assert_eq!(report.plan.choice, Choice::Whole);
}

#[test]
fn stages_come_in_order_and_reach_their_ends() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut seen = Vec::new();
    Node::on(&old)
        .install_controlled(Counted::new(&new.bundle), signer.key(), &mut |progress| {
            seen.push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    let stages = [Stage::Survey, Stage::Fetch, Stage::Verify];
    let ends = stages.map(|stage| {
        let last = seen.iter().rfind(|progress| progress.stage == stage).unwrap();
        (last.done, last.total)
    });
    for (done, total) in ends {
        assert_eq!(done, total);
    }
    assert!(seen.windows(2).all(|pair| pair[0].fetched <= pair[1].fetched));
}

#[test]
fn a_slot_that_is_too_short_does_not_panic() {
    let signer = Signer::default();
    let old = release("1.0.0", root(), &signer);
    let new = patched(&old, &signer);
    let mut node = Node::on(&old);
    node.b.0.truncate(5 << 20);
    let error = node.install(Counted::new(&new.bundle), signer.key()).unwrap_err();
    assert!(matches!(error, Error::Slot("write", Slot::B, _)), "{error}");
    assert_eq!(node.record().slot(Slot::B), SlotState::Empty);
}
