//! Plans executed on media in memory: good ones, small ones, and failing ones.

mod support;

use std::io::Cursor;
use std::sync::OnceLock;

use bundle::{ImageName, Reader};
use flash_tool::plan::{Content, PlanError, What};
use flash_tool::watch::{Silent, Stage};
use flash_tool::{ApplyError, BundleFacts, apply, plan};
use layout::{Layout, Name, Table};
use medium::Medium;
use proptest::prelude::*;
use slots::Record;
use support::{
    AsFile, CONFIG, MEDIUM, MIB, Memory, Recipe, Sample, flash, has_table, noise, options, planned, sample,
};

#[test]
fn a_blank_medium_becomes_a_node() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, Some(CONFIG));
    let mut medium = Memory::new(MEDIUM);
    flash(&plan, &sample, &mut medium).unwrap();

    let table = Table::read(&mut AsFile::new(&medium)).unwrap();
    assert_eq!(table, plan.table);
    let at = |name: Name| table.layout.extent(name);
    let slot = at(Name::SlotA);
    assert_eq!(medium.read(slot.start, sample.slot.len() as u64), sample.slot);
    let area = medium.read(slot.end() - 65536, 65536);
    let trailer = manifest::trailer::decode(&area).unwrap();
    assert!(manifest::verify(trailer.json, trailer.signatures, &[sample.key]).is_ok());
    let copies = [0, 512 * 1024].map(|offset| medium.read(at(Name::BootState).start + offset, 512));
    assert_eq!(
        slots::load(&copies[0], &copies[1]).record,
        Some(Record::initial())
    );
    let config = medium.read(at(Name::Config).start, 1 << 19);
    assert_eq!(
        machine_config::medium::decode(&config).unwrap().as_deref(),
        Some(CONFIG)
    );
    assert_eq!(medium.read(32768, 9000), noise(9000, 3));
    assert_eq!(medium.read(at(Name::Esp).start + 5 * MIB, 6), b"loader");
}

#[test]
fn old_data_is_erased_only_where_it_matters() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, None);
    let mut medium = Memory {
        fill: 0xee,
        ..Memory::new(MEDIUM)
    };
    flash(&plan, &sample, &mut medium).unwrap();
    let at = |name: Name| plan.table.layout.extent(name);
    let zeros = |start: u64, len: u64| medium.read(start, len).iter().all(|byte| *byte == 0);
    assert!(zeros(34 * 512, 32768 - 34 * 512), "between table and boot code");
    assert!(
        zeros(32768 + 9000, MIB - 32768 - 9000),
        "between boot code and ESP"
    );
    assert!(zeros(at(Name::Config).start, MIB), "an older config");
    assert!(zeros(at(Name::SlotB).end() - 65536, 65536), "an older slot");
    assert!(
        zeros(at(Name::State).start, MIB) && zeros(at(Name::Data).start, MIB),
        "older file systems"
    );
    let last = at(Name::Data).end();
    assert!(
        zeros(last, plan.table.layout.table_tail().start - last),
        "signatures at the end"
    );
    assert!(zeros(at(Name::Esp).start + 512, 130_560), "the ESP's tables");
    assert!(
        !zeros(at(Name::Esp).start + MIB, 4096),
        "the ESP's free space is not written"
    );
    assert!(!zeros(at(Name::SlotB).start, 4096) && !zeros(at(Name::Data).start + MIB, 4096));
}

#[test]
fn flashing_again_writes_only_what_changed() {
    let old = sample(&Recipe::default());
    let mut medium = Memory {
        fill: 0xee,
        ..Memory::new(MEDIUM)
    };
    let first = flash(&planned(&old, Some(CONFIG)), &old, &mut medium).unwrap();
    let again = flash(&planned(&old, Some(CONFIG)), &old, &mut medium).unwrap();
    // The table is erased and written again, so that the medium does not boot in between.
    assert!(first.written > 8 * MIB / 2, "{}", first.written);
    assert!(again.written < 100_000, "{}", again.written);

    let mut recipe = Recipe::default();
    recipe.root[100_000] ^= 1;
    let new = sample(&recipe);
    medium.writes.clear();
    let update = flash(&planned(&new, Some(CONFIG)), &new, &mut medium).unwrap();
    assert!(update.written < 250_000, "{}", update.written);
    assert_eq!(
        update.written,
        medium.writes.iter().map(|(_, len)| len).sum::<u64>()
    );
    let slot = plan(&new.facts(), MEDIUM, options(None))
        .unwrap()
        .table
        .layout
        .extent(Name::SlotA);
    assert_eq!(medium.read(slot.start, new.slot.len() as u64), new.slot);
}

#[test]
fn after_a_power_cut_there_is_no_table_and_another_run_completes() {
    let sample = sample(&Recipe::default());
    let old = support::sample(&Recipe {
        root: noise(400_000, 9),
        ..Recipe::default()
    });
    let mut flashed = Memory::new(MEDIUM);
    flash(&planned(&old, None), &old, &mut flashed).unwrap();
    let plan = planned(&sample, Some(CONFIG));
    let total = {
        let mut medium = Memory {
            writes: Vec::new(),
            ..flashed.clone()
        };
        flash(&plan, &sample, &mut medium).unwrap();
        medium.writes.len()
    };
    assert!(total > 10, "{total}");
    for cut in 0..total {
        let mut medium = Memory {
            writes_left: Some(cut),
            ..flashed.clone()
        };
        assert!(
            matches!(flash(&plan, &sample, &mut medium), Err(ApplyError::Medium { .. })),
            "cut at {cut}"
        );
        // Until both copies are erased the old system is complete; when only the last write is missing, the new one is.
        assert!(
            cut <= 1 || cut == total - 1 || !has_table(&medium),
            "cut at {cut} of {total}"
        );
        medium.writes_left = None;
        flash(&plan, &sample, &mut medium).unwrap();
        assert!(has_table(&medium));
    }
}

#[test]
fn a_medium_of_another_size_is_not_touched() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, None);
    let mut medium = Memory::new(MEDIUM + 512);
    assert!(matches!(
        flash(&plan, &sample, &mut medium),
        Err(ApplyError::OtherMedium { .. })
    ));
    assert!(medium.writes.is_empty());
}

#[test]
fn impossible_plans_are_refused() {
    let small = sample(&Recipe::default());
    let least = small.facts().least().unwrap();
    assert!(plan(&small.facts(), least, options(None)).is_ok());
    let error = plan(&small.facts(), least - 1, options(None)).unwrap_err();
    assert!(matches!(error, PlanError::Layout(_)), "{error}");

    let upgrade = sample(&Recipe {
        esp: false,
        ..Recipe::default()
    });
    let error = plan(&upgrade.facts(), MEDIUM, options(None)).unwrap_err();
    assert!(matches!(error, PlanError::NoEsp), "{error}");

    let over_table = sample(&Recipe {
        bootcode: Some((512, vec![1; 100])),
        ..Recipe::default()
    });
    let error = plan(&over_table.facts(), MEDIUM, options(None)).unwrap_err();
    assert!(
        matches!(
            error,
            PlanError::Misfit {
                image: ImageName::BOOTCODE,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn only_what_no_piece_covers_is_discarded() {
    let sample = sample(&Recipe::default());
    let discarding = flash_tool::Options {
        discard: true,
        ..options(None)
    };
    let plan = plan(&sample.facts(), MEDIUM, discarding).unwrap();
    let data = plan.table.layout.extent(Name::Data);
    assert!(
        plan.discard
            .iter()
            .any(|gap| gap.start >= data.start && gap.len > 60 * MIB)
    );
    for extent in plan.extents() {
        assert!(
            plan.discard
                .iter()
                .all(|gap| gap.end() <= extent.start || gap.start >= extent.end())
        );
    }
}

#[test]
fn stages_come_in_order_and_add_up() {
    let sample = sample(&Recipe::default());
    let plan = planned(&sample, None);
    let report = flash(&plan, &sample, &mut Memory::new(MEDIUM)).unwrap();
    let stages = report.stages.iter().map(|stage| stage.stage).collect::<Vec<_>>();
    assert_eq!(
        stages,
        [
            Stage::Check,
            Stage::Erase,
            Stage::Write,
            Stage::ReadBack,
            Stage::Finish,
            Stage::Inspect
        ]
    );
    let write = &report.stages[2];
    let pieces = plan.pieces.iter().map(|piece| piece.extent.len).sum::<u64>();
    assert_eq!(write.written + write.equal, pieces);
    assert_eq!(report.planned, plan.bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn garbled_bundles_never_panic_and_write_nothing(
        spots in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let sample = one_sample();
        let mut bytes = sample.bytes.clone();
        for (at, value) in spots {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        let mut medium = Memory::new(MEDIUM);
        let Ok(mut bundle) = Reader::open(Cursor::new(bytes), &[sample.key]) else { return Ok(()) };
        let plan = plan(&BundleFacts::of(&bundle), MEDIUM, options(None)).unwrap();
        match apply(&plan, &mut bundle, &mut medium, &mut Silent) {
            Err(ApplyError::Bundle(_)) => prop_assert!(medium.writes.is_empty()),
            Err(other) => prop_assert!(false, "{}", other),
            // The change was in a byte without meaning (a comment, a spare bit), or did not change the value.
            Ok(_) => {
                let slot = plan.table.layout.extent(Name::SlotA);
                prop_assert!(medium.read(slot.start, sample.slot.len() as u64) == sample.slot);
            }
        }
    }
}

/// One bundle for all the cases of a property.
fn one_sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| sample(&Recipe::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_byte_outside_the_planned_extents_changes(
        root in 1usize..600_000,
        medium in 0u64..64 * MIB / 512,
        first in 1u64..20,
        code in proptest::option::of((5u64..100, 1usize..30_000)),
        config: bool,
        discard: bool,
    ) {
        let sample = sample(&Recipe {
            root: noise(root, 5),
            first_partition: first * MIB,
            bootcode: code.map(|(block, len)| (block * 4096, noise(len, 6))),
            ..Recipe::default()
        });
        let least = sample.facts().least().unwrap();
        let size = least + medium * 512;
        let plan = plan(
            &sample.facts(),
            size,
            flash_tool::Options { discard, ..options(config.then_some(CONFIG)) },
        ).unwrap();

        // Pieces do not overlap, and stay between the copies of the table.
        let [head, tail] = plan.table_extents();
        let mut end = head.end();
        let mut pieces = plan.pieces.iter().chain([&plan.trailer]).collect::<Vec<_>>();
        pieces.sort_by_key(|piece| piece.extent.start);
        for piece in &pieces {
            prop_assert!(piece.extent.start >= end, "{:?}", piece.what);
            end = piece.extent.end();
        }
        prop_assert!(end <= tail.start && tail.end() <= size);

        let mut medium = Memory { fill: 0xa5, ..Memory::new(size) };
        apply(&plan, &mut sample.reader(), &mut medium, &mut Silent).unwrap();
        let extents = plan.extents();
        for (offset, len) in &medium.writes {
            let inside = extents.iter().any(|extent| extent.start <= *offset && offset + len <= extent.end());
            prop_assert!(inside, "{} bytes at {}", len, offset);
        }
        // And every planned byte is what the plan says.
        for piece in pieces {
            let there = medium.read(piece.extent.start, piece.extent.len);
            match &piece.content {
                Content::Zeros => prop_assert!(there.iter().all(|byte| *byte == 0)),
                Content::Bytes(bytes) => prop_assert!(there == *bytes),
                Content::Frame(frame) => prop_assert!(manifest::Digest::of(&there) == frame.sha256),
            }
        }
        let slot = plan.table.layout.extent(Name::SlotA);
        prop_assert!(medium.read(slot.start, sample.slot.len() as u64) == sample.slot);
        prop_assert!(plan.pieces.iter().any(|piece| piece.what == What::EmptySlot));
        prop_assert_eq!(Layout::for_medium(&plan.table.layout.spec(), size).unwrap(), plan.table.layout);
        prop_assert_eq!(medium.len(), size);
    }
}
