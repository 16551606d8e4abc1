//! A node's disk is flashed again, and what is the node's own stays.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flash_tool::contents::{Contents, Release as OnDisk};
use layout::{Extent, Name};
use manifest::model::Version;
use samples::Signer;
use serde_json::Value;
use slots::{COPY_OFFSETS, Record, Slot, SlotState, TRIAL_TRIES, encode};
use support::program::{flash, good, stderr, table};
use support::{MIB, Recipe, noise, sample_by};

/// A node's disk, and a newer bundle for it by the same key.
struct Shop {
    old: support::Sample,
    signer: Signer,
    disk: PathBuf,
}

const STATE: &[u8] = b"the node's own keys";
const DATA: &[u8] = b"what the node is for";

impl Shop {
    fn new() -> Self {
        let signer = Signer::default();
        let old = sample_by(&signer, &Recipe::default());
        let disk = old.dir.path().join("disk.img");
        good(&flash(
            &old.key_file,
            &old.bundle,
            &disk,
            &["--yes", "--output=json"],
        ));
        let shop = Self { old, signer, disk };
        // What the first start of the node leaves: a file system in STATE, and what it keeps.
        shop.put(Name::State, 1024 + 56, &[0x53, 0xef]);
        shop.put(Name::State, 8192, STATE);
        shop.put(Name::Data, 4096, DATA);
        shop
    }

    fn newer(&self, recipe: Recipe) -> support::Sample {
        sample_by(
            &self.signer,
            &Recipe {
                root: noise(400_000, 9),
                version: recipe.version.max(Version {
                    major: 1,
                    minor: 3,
                    patch: 0,
                }),
                ..recipe
            },
        )
    }

    fn extent(&self, name: Name) -> Extent {
        table(&self.disk).unwrap().layout.extent(name)
    }

    fn put(&self, name: Name, offset: u64, bytes: &[u8]) {
        let disk = File::options().write(true).open(&self.disk).unwrap();
        disk.write_all_at(bytes, self.extent(name).start + offset)
            .unwrap();
    }

    fn get(&self, name: Name, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let at = self.extent(name).start + offset;
        File::open(&self.disk)
            .unwrap()
            .read_exact_at(&mut bytes, at)
            .unwrap();
        bytes
    }

    fn record(&self) -> Record {
        let [first, second] = COPY_OFFSETS.map(|offset| self.get(Name::BootState, offset, slots::RECORD_LEN));
        slots::load(&first, &second).record.unwrap()
    }

    fn set_record(&self, record: Record) {
        for (generation, offset) in (7..).zip(COPY_OFFSETS) {
            self.put(Name::BootState, offset, &encode(generation, &record));
        }
    }

    fn reflash(&self, bundle: &Path, arguments: &[&str]) -> std::process::Output {
        flash(&self.old.key_file, bundle, &self.disk, arguments)
    }
}

#[test]
fn the_other_slot_gets_the_release_and_the_rest_stays() {
    let shop = Shop::new();
    let before = fs::read(&shop.disk).unwrap();
    let new = shop.newer(Recipe::default());
    let arguments = ["--yes", "--output=json", "--keep-data"];
    let dry = good(&shop.reflash(&new.bundle, &["--dry-run", "--output=json", "--keep-data"]));
    assert!(dry["report"].is_null() && fs::read(&shop.disk).unwrap() == before);

    let outcome = good(&shop.reflash(&new.bundle, &arguments));
    assert_eq!(
        (&outcome["from"], &outcome["to"], &outcome["slot"]),
        (&"1.2.3".into(), &"1.3.0".into(), &"b".into())
    );
    assert_eq!(outcome["keeps"], Value::from(vec!["STATE", "DATA"]));
    let record = shop.record();
    assert_eq!(
        record.slots,
        [SlotState::Committed, SlotState::Trial { tries: TRIAL_TRIES }]
    );
    assert_eq!(record.preferred, Slot::B);
    assert!(shop.get(Name::SlotB, 0, new.slot.len()) == new.slot);
    assert_eq!(shop.get(Name::State, 8192, STATE.len()), STATE);
    assert_eq!(shop.get(Name::Data, 4096, DATA.len()), DATA);
    // No byte outside of slot B and the slot record has changed.
    let after = fs::read(&shop.disk).unwrap();
    let (boot, slot) = (shop.extent(Name::BootState), shop.extent(Name::SlotB));
    let mut at = 0;
    for extent in [boot, slot] {
        assert!(before[at..extent.start as usize] == after[at..extent.start as usize]);
        at = extent.end() as usize;
    }
    assert!(before[at..] == after[at..]);
    let contents = Contents::read(
        &File::open(&shop.disk).unwrap(),
        after.len() as u64,
        &[],
        &[shop.old.key],
    )
    .unwrap();
    assert!(matches!(contents.node.unwrap().release, OnDisk::Verified { version, .. } if version == "1.3.0"));

    // On trial, there is nothing else to fall back to.
    let newest = shop.newer(Recipe {
        version: Version {
            major: 2,
            minor: 0,
            patch: 0,
        },
        ..Recipe::default()
    });
    let refused = shop.reflash(&newest.bundle, &arguments);
    assert!(
        !refused.status.success() && stderr(&refused).contains("slot b is on trial"),
        "{}",
        stderr(&refused)
    );
    // Once it is committed, the next one goes into the other slot.
    shop.set_record(record.commit(Slot::B));
    assert_eq!(good(&shop.reflash(&newest.bundle, &arguments))["slot"], "a");
    assert_eq!(
        shop.record().slots,
        [SlotState::Trial { tries: TRIAL_TRIES }, SlotState::Committed]
    );
}

#[test]
fn state_alone_is_kept_on_request() {
    let shop = Shop::new();
    let new = shop.newer(Recipe::default());
    let outcome = good(&shop.reflash(&new.bundle, &["--yes", "--output=json", "--keep-state"]));
    assert_eq!(outcome["keeps"], Value::from(vec!["STATE"]));
    assert_eq!(shop.get(Name::State, 8192, STATE.len()), STATE);
    assert!(
        shop.get(Name::Data, 0, MIB as usize)
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn what_an_upgrade_would_refuse_is_refused_with_the_reason() {
    let shop = Shop::new();
    let good_bundle = shop.newer(Recipe::default());
    let other_board = shop.newer(Recipe {
        board: "other",
        ..Recipe::default()
    });
    let other_signer = support::sample(&Recipe {
        root: noise(400_000, 9),
        ..Recipe::default()
    });
    let older = sample_by(
        &shop.signer,
        &Recipe {
            root: noise(400_000, 9),
            version: Version {
                major: 1,
                minor: 0,
                patch: 0,
            },
            ..Recipe::default()
        },
    );
    let before = fs::read(&shop.disk).unwrap();
    let refused = |bundle: &Path, said: &str| {
        let output = shop.reflash(bundle, &["--yes", "--keep-data"]);
        assert!(
            !output.status.success() && stderr(&output).contains(said),
            "{said}: {}",
            stderr(&output)
        );
    };
    refused(
        &other_board.bundle,
        "the bundle is for board other, and this node is a test",
    );
    refused(&other_signer.bundle, "not to be trusted");
    refused(&older.bundle, "version 1.0.0 is older than 1.2.3");
    refused(&shop.old.bundle, "is what it runs");
    assert!(fs::read(&shop.disk).unwrap() == before);

    let record = shop.record();
    shop.set_record(record.raise_floor(Version {
        major: 1,
        minor: 4,
        patch: 0,
    }));
    refused(&good_bundle.bundle, "version 1.3.0 is below 1.4.0");
    shop.set_record(record.erase(Slot::A));
    refused(&good_bundle.bundle, "no slot holds a committed release");
    shop.set_record(record);
    shop.put(Name::State, 1024 + 56, &[0, 0]);
    refused(&good_bundle.bundle, "nothing to keep");
    fs::write(&shop.disk, vec![0; MIB as usize]).unwrap();
    refused(&good_bundle.bundle, "there is no node on it");
    fs::remove_file(&shop.disk).unwrap();
    refused(&good_bundle.bundle, "disk.img");
    assert!(!shop.disk.exists());
    for more in ["--keep-state", "--config=x", "--discard", "--fleet=x"] {
        let output = shop.reflash(&good_bundle.bundle, &["--keep-data", more]);
        assert_eq!(output.status.code(), Some(2), "{more}: {}", stderr(&output));
    }
}
