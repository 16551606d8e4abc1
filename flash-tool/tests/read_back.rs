//! Media that lose what is written to them, read back afterwards and meanwhile.

mod support;

use flash_tool::plan::What;
use flash_tool::watch::{Silent, Stage};
use flash_tool::{ApplyError, apply, plan};
use layout::Name;
use medium::Medium as _;
use support::{
    CONFIG, Followed, MEDIUM, MIB, Memory, Recipe, flash, has_table, noise, options, planned, sample,
};

#[test]
fn bad_cells_are_noticed_and_the_medium_does_not_boot() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, Some(CONFIG));
    let layout = plan.table.layout;
    let slot = layout.extent(Name::SlotA);
    for (what, dead) in [
        ("root", slot.start + 100_000),
        ("hash tree", slot.start + sample.manifest.slot.verity.tree_offset),
        ("ESP", layout.extent(Name::Esp).start + 5 * MIB),
        ("boot code", 32768),
        ("config", layout.extent(Name::Config).start),
        ("slot record", layout.extent(Name::BootState).start + 512 * 1024),
        ("state", layout.extent(Name::State).start + 8192),
        ("trailer", slot.end() - 65536),
        ("backup table", layout.table_tail().start),
        ("table", 4096),
    ] {
        let medium = Memory {
            fill: 0xee,
            dead: vec![dead / 4096],
            ..Memory::new(MEDIUM)
        };
        let mut alone = medium.clone();
        let error = flash(&plan, &sample, &mut alone).map(|_| ()).unwrap_err();
        assert!(is_seen(&error), "{what}: {error}");
        assert!(!has_table(&alone), "{what}");

        let mut followed = Followed::new(medium);
        let error = apply(&plan, &mut sample.reader(), &mut followed, &mut Silent);
        let error = error.map(|_| ()).unwrap_err();
        assert!(is_seen(&error), "{what}, read back meanwhile: {error}");
        assert!(!has_table(&followed.memory()), "{what}");
    }
}

fn is_seen(error: &ApplyError) -> bool {
    matches!(error, ApplyError::ReadBack { .. } | ApplyError::Inspect(_))
}

#[test]
fn a_medium_that_is_read_back_while_it_is_written_holds_the_same() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, Some(CONFIG));
    let mut alone = Memory::new(MEDIUM);
    flash(&plan, &sample, &mut alone).unwrap();
    let mut followed = Followed::new(Memory::new(MEDIUM));
    let report = apply(&plan, &mut sample.reader(), &mut followed, &mut Silent).unwrap();
    assert!(followed.memory().blocks == alone.blocks);
    assert!(report.read >= plan.pieces.iter().map(|piece| piece.extent.len).sum());
}

#[test]
fn what_is_there_already_is_read_once() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, Some(CONFIG));
    let mut followed = Followed::new(Memory::new(MEDIUM));
    apply(&plan, &mut sample.reader(), &mut followed, &mut Silent).unwrap();
    let report = apply(&plan, &mut sample.reader(), &mut followed, &mut Silent).unwrap();
    let stage = |wanted| report.stages.iter().find(|stage| stage.stage == wanted).unwrap();
    let pieces = plan.pieces.iter().map(|piece| piece.extent.len).sum::<u64>();
    assert_eq!(
        (stage(Stage::Write).read, stage(Stage::Write).written),
        (pieces, 0)
    );
    assert_eq!(stage(Stage::ReadBack).read, 0);

    // One byte is another one: its piece is written, and read back.
    let slot = plan.table.layout.extent(Name::SlotA);
    followed.memory().write_at(slot.start, &[0x55]).unwrap();
    let report = apply(&plan, &mut sample.reader(), &mut followed, &mut Silent).unwrap();
    let stage = |wanted| report.stages.iter().find(|stage| stage.stage == wanted).unwrap();
    assert_eq!(stage(Stage::Write).written, 4096);
    assert_eq!(stage(Stage::ReadBack).read, 65536, "the frame that it is part of");
}

#[test]
fn a_system_that_no_node_would_start_is_refused_before_anything_is_written() {
    let good = sample(&Recipe::default());
    let tree = good.manifest.slot.verity.tree_offset as usize;
    for at in [0, 100_000, tree, tree + 5000] {
        let spoiled = sample(&Recipe {
            spoiled: Some(at),
            ..Recipe::default()
        });
        let plan = planned(&spoiled, None);
        let mut medium = Memory::new(MEDIUM);
        let error = flash(&plan, &spoiled, &mut medium).map(|_| ()).unwrap_err();
        assert!(matches!(error, ApplyError::Inconsistent(_)), "byte {at}: {error}");
        assert!(medium.writes.is_empty(), "byte {at}");
    }
}

#[test]
fn writing_ends_soon_after_something_was_read_back_wrong() {
    let sample = sample(&Recipe {
        root: noise(60 * MIB as usize, 1),
        slot_size: 64 * MIB,
        ..Recipe::default()
    });
    let size = 2 * MEDIUM;
    let plan = plan(&sample.facts(), size, options(None)).unwrap();
    let slot = plan.table.layout.extent(Name::SlotA);
    let mut followed = Followed::new(Memory {
        dead: vec![slot.start / 4096],
        ..Memory::new(size)
    });
    let error = apply(&plan, &mut sample.reader(), &mut followed, &mut Silent);
    assert!(matches!(
        error,
        Err(ApplyError::ReadBack { what: What::Slot, .. })
    ));
    let written: u64 = followed.memory().writes.iter().map(|(_, len)| len).sum();
    assert!(written < 60 * MIB, "{written}");
}

#[test]
fn a_medium_that_fails_while_it_is_read_back_is_reported_as_such() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, None);
    for cut in [3, 6, 9] {
        let mut followed = Followed::new(Memory {
            writes_left: Some(cut),
            ..Memory::new(MEDIUM)
        });
        let error = apply(&plan, &mut sample.reader(), &mut followed, &mut Silent);
        let error = error.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("write to") || error.contains("flush"), "{error}");
    }
}
