//! Releases that raise the floor, add keys and retire them.

use std::fs;

use manifest::chain::follow;
use manifest::{Manifest, trailer};
use samples::{Recipe, Signer};
use slots::SlotState;

use super::*;
use crate::trial::RecordFile;

fn manifest(version: &str) -> Manifest {
    Recipe::new(version, vec![1; 8192])
        .build(&Signer::default())
        .manifest
}

struct Disk {
    folder: tempfile::TempDir,
    places: Places,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::File::create(&path).unwrap().set_len(1024 * 1024).unwrap();
            path
        };
        let places = Places {
            bootstate: path("bootstate"),
            slots: [path("a"), path("b")],
        };
        Disk { folder, places }
    }

    /// Puts a release into a slot, and returns what the loader would pass if it started it.
    fn put(&self, slot: Slot, version: &str, signers: &[&Signer], trusts: &[&Signer]) -> BootStatus {
        let mut release = manifest(version);
        release.keys = trusts.iter().map(|signer| signer.key()).collect();
        let json = release.to_json().unwrap();
        let signatures: Vec<u8> = signers
            .iter()
            .flat_map(|signer| signer.sign(&json).into_bytes())
            .collect();
        let area = trailer::encode(&json, &signatures).unwrap();
        let path = self.folder.path().join(slot.name());
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() - area.len();
        bytes[at..].copy_from_slice(&area);
        fs::write(path, bytes).unwrap();
        BootStatus {
            slot: Some(slot),
            manifest: Some(manifest::Digest::of(&json).to_string()),
            ..BootStatus::default()
        }
    }

    /// Returns what a loader with this key of its own would trust.
    fn trusted(&self, own: &Signer) -> Vec<TrustedKey> {
        follow(&[own.key()], &self.places.chain().read().unwrap().links)
    }
}

#[test]
fn the_floor_is_raised_with_the_commit() {
    let mut release = manifest("0.3.0");
    release.floor = "0.2.0".parse().unwrap();
    let release = InSlot {
        manifest: release,
        json: Vec::new(),
        signatures: Vec::new(),
    };
    let record = Record::initial().arm_trial(Slot::B, 1);
    let after = kept(&record, Slot::B, Some(&release));
    assert_eq!(
        (after.slot(Slot::B), after.floor),
        (SlotState::Committed, "0.2.0".parse().unwrap())
    );
    assert_eq!(kept(&after, Slot::B, None).floor, after.floor, "it never falls");
}

#[test]
fn a_release_that_changes_the_keys_is_remembered_once() {
    let (disk, one, two) = (Disk::new(), Signer::default(), Signer::default());
    disk.put(Slot::A, "0.1.0", &[&one], &[&one]);
    let boot = disk.put(Slot::B, "0.2.0", &[&one], &[&one, &two]);
    assert!(keep_keys(&disk.places, &boot, true).unwrap());
    assert_eq!(disk.trusted(&one), [one.key(), two.key()]);
    assert!(
        !keep_keys(&disk.places, &boot, true).unwrap(),
        "it is in the chain by now"
    );
    // The next one retires the first key, and is signed by the second.
    let boot = disk.put(Slot::A, "0.3.0", &[&two], &[&two]);
    assert!(keep_keys(&disk.places, &boot, true).unwrap());
    assert_eq!(disk.trusted(&one), [two.key()]);
    // Rolling back does not restore a retired key.
    let boot = disk.put(Slot::B, "0.2.0", &[&one, &two], &[&one, &two]);
    assert!(!keep_keys(&disk.places, &boot, false).unwrap());
    assert_eq!(disk.trusted(&one), [two.key()]);
}

#[test]
fn nothing_is_written_when_the_keys_are_the_same() {
    let (disk, one, two) = (Disk::new(), Signer::default(), Signer::default());
    let flashed = disk.put(Slot::A, "0.1.0", &[&one], &[&one, &two]);
    assert!(
        !keep_keys(&disk.places, &flashed, false).unwrap(),
        "the keys it was flashed with"
    );
    let boot = disk.put(Slot::B, "0.2.0", &[&one], &[&two, &one]);
    assert!(!keep_keys(&disk.places, &boot, true).unwrap());
    let silent = disk.put(Slot::B, "0.2.0", &[&one], &[]);
    assert!(!keep_keys(&disk.places, &silent, true).unwrap());
    let bytes = fs::read(&disk.places.bootstate).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

/// A power cut between the commit and the chain: the next start completes it.
#[test]
fn an_interrupted_commit_is_completed() {
    let (disk, one, two) = (Disk::new(), Signer::default(), Signer::default());
    disk.put(Slot::A, "0.1.0", &[&one], &[&one]);
    let boot = disk.put(Slot::B, "0.2.0", &[&one, &two], &[&two]);
    assert!(keep_keys(&disk.places, &boot, false).unwrap());
    assert_eq!(disk.trusted(&one), [two.key()]);
}

#[test]
fn a_release_that_would_lock_itself_out_is_reported_and_changes_nothing() {
    let (disk, one, two) = (Disk::new(), Signer::default(), Signer::default());
    disk.put(Slot::A, "0.1.0", &[&one], &[&one]);
    let boot = disk.put(Slot::B, "0.2.0", &[&one], &[&two]);
    let error = keep_keys(&disk.places, &boot, true).unwrap_err();
    assert!(
        matches!(error, KeysError::Chain(ChainError::Disowned)),
        "{error:?}"
    );
    assert_eq!(disk.trusted(&one), [one.key()]);
}

#[test]
fn only_the_manifest_that_the_loader_verified_counts() {
    let (disk, one, two) = (Disk::new(), Signer::default(), Signer::default());
    disk.put(Slot::A, "0.1.0", &[&one], &[&one]);
    let mut boot = disk.put(Slot::B, "0.2.0", &[&one, &two], &[&two]);
    boot.manifest = Some("00".repeat(32));
    assert!(!keep_keys(&disk.places, &boot, true).unwrap());
    let initial = Record::initial();
    let record = RecordFile::new(&disk.places.bootstate);
    record.write(&record.read().unwrap(), &initial).unwrap();
    assert_eq!(disk.trusted(&one), [one.key()]);
}
