//! Which bundles patches may be made from.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::fs;
use std::path::{Path, PathBuf};

use bundle::{ImageName, Writer};
use images::patches::{Older, OlderError};
use images::slot::{self, Content, Slot};
use manifest::model::Version;
use manifest::{Arch, Disk, Image, Manifest, PartKind};
use signing::{Protection, SecretKey};

fn key(folder: &Path, name: &str) -> SecretKey {
    let (secret, _) = signing::create(folder, name, Protection::None).unwrap();
    SecretKey::load(&secret, || None).unwrap()
}

fn slot(content: &str) -> Slot {
    let part = |kind, name: &str, data: &[u8]| Content {
        kind,
        name: name.into(),
        data: data.to_vec(),
    };
    let parts = vec![
        part(PartKind::Kernel, "vmlinuz", &[1; 5000]),
        part(PartKind::Initramfs, "initramfs.cpio", &[2; 100]),
        part(PartKind::Root, "root.erofs", content.as_bytes()),
    ];
    slot::assemble(parts, 8 << 20).unwrap()
}

/// Writes a bundle with a slot; a frame of it reaches across the end of the data into the hash tree.
fn bundle(path: &Path, board: &str, slot: &Slot, key: &SecretKey) -> PathBuf {
    let scratch = tempfile::tempfile().unwrap();
    let mut writer = Writer::new(scratch).level(1);
    let data = [slot.data(0, 8 << 20), slot.tree.clone()].concat();
    writer.add(ImageName::SLOT, 0, &mut data.as_slice()).unwrap();
    let sealed = writer.seal();
    let manifest = Manifest {
        format: 1,
        board: board.into(),
        arch: Arch::Arm64,
        version: Version {
            major: 1,
            minor: 2,
            patch: 3,
        },
        created: 0,
        overlays: Vec::new(),
        locked: true,
        cmdline: String::new(),
        slot: slot.image.clone(),
        disk: Disk {
            slot_size: 8 << 20,
            first_partition: 1 << 20,
            hybrid_mbr: false,
        },
        images: vec![Image {
            name: ImageName::SLOT,
            offset: None,
            size: slot.image.size,
            sha256: sealed.sha256(ImageName::SLOT),
        }],
        index: sealed.index(),
        device_trees: None,
        keys: Vec::new(),
        floor: Version::default(),
        patches: Vec::new(),
    };
    let json = manifest.to_json().unwrap();
    let signature = key.sign("manifest", &json, "test");
    let mut file = fs::File::create(path).unwrap();
    sealed.write(&mut file, &json, signature.as_bytes()).unwrap();
    path.to_owned()
}

#[test]
fn the_data_of_an_older_slot_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (key, slot) = (key(dir.path(), "release"), slot("an older system"));
    let path = bundle(&dir.path().join("old.bundle"), "my-board", &slot, &key);
    let mut all = Older::open_all(&[path], &[key.public()], "my-board").unwrap();
    let older = &mut all[0];
    assert_eq!(older.version().to_string(), "1.2.3");
    assert_eq!(older.root_hash(), slot.image.verity.root_hash);
    assert_eq!(older.data().unwrap(), slot.data(0, 8 << 20));
}

#[test]
fn refusals_name_the_bundle_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let (release, stranger) = (key(dir.path(), "release"), key(dir.path(), "stranger"));
    let slot = slot("an older system");
    let good = bundle(&dir.path().join("good.bundle"), "my-board", &slot, &release);
    let twin = bundle(&dir.path().join("twin.bundle"), "my-board", &slot, &release);
    let other = bundle(&dir.path().join("other.bundle"), "other-board", &slot, &release);
    let strange = bundle(&dir.path().join("strange.bundle"), "my-board", &slot, &stranger);
    let absent = dir.path().join("absent.bundle");
    let refused = |paths: &[&PathBuf]| -> OlderError {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
        let opened = Older::open_all(&paths, &[release.public()], "my-board");
        opened.err().expect("it must be refused")
    };
    for (paths, expected) in [
        (&[&absent][..], ["absent.bundle", "cannot make patches"]),
        (&[&good, &strange][..], ["strange.bundle", "--trust"]),
        (
            &[&other][..],
            ["other.bundle is for board \"other-board\"", "\"my-board\""],
        ),
        (
            &[&good, &twin][..],
            ["twin.bundle has the same slot image", "good.bundle"],
        ),
    ] {
        let error = refused(paths).to_string();
        assert!(expected.iter().all(|text| error.contains(text)), "{error}");
    }
    let keys = [release.public(), stranger.public()];
    let trusted = Older::open_all(&[strange], &keys, "my-board");
    assert_eq!(trusted.unwrap().len(), 1);
}
