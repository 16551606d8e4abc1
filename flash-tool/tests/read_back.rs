//! Media that lose what is written to them, read back afterwards and meanwhile.

mod support;

use flash_tool::watch::Silent;
use flash_tool::{ApplyError, apply, plan};
use layout::Name;
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
    matches!(
        error,
        ApplyError::ReadBack { .. } | ApplyError::Slot(_) | ApplyError::Inspect(_)
    )
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
    assert!(matches!(error, Err(ApplyError::Slot(_))));
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
