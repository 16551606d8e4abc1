//! What a manifest may say: its golden bytes, and each value that is refused, by name.
mod support;

use manifest::{Digest, Image, ImageName, MAX_JSON, Manifest, ParseError, PartKind, PatchSet};
use proptest::prelude::*;
use support::sample;

/// Signed manifests are on disks and servers: this test fails when a change would no longer read or write them alike.
#[test]
fn golden_json() {
    let golden = include_str!("golden/manifest.json");
    let written = String::from_utf8(sample().to_json().unwrap()).unwrap();
    assert_eq!(written, golden.trim_end());
    assert_eq!(Manifest::parse_unverified(golden.as_bytes()).unwrap(), sample());
}

#[test]
fn each_unsound_value_is_refused_and_named() {
    type Spoil = fn(&mut Manifest);
    let cases: &[(&str, Spoil)] = &[
        ("format", |m| m.format = 2),
        ("board", |m| m.board = "rpi 3".into()),
        ("board", |m| m.board = "../rpi".into()),
        ("board", |m| m.board.clear()),
        ("overlays[0]", |m| m.overlays[0] = "x".repeat(65)),
        ("overlays", |m| m.overlays = vec!["base".into(); 65]),
        ("cmdline", |m| m.cmdline = "quiet\ninit=/bin/sh".into()),
        ("cmdline", |m| m.cmdline = "x".repeat(1409)),
        ("cmdline", |m| m.cmdline = "quiet bedplate.slot=b".into()),
        ("disk.slotSize", |m| m.disk.slot_size = 0),
        ("disk.slotSize", |m| m.disk.slot_size += 512),
        ("disk.slotSize", |m| {
            m.disk.slot_size = u64::MAX - (u64::MAX % (1 << 20))
        }),
        ("disk.firstPartition", |m| m.disk.first_partition = 34 * 512),
        ("slot.parts", |m| m.slot.parts.clear()),
        ("slot.parts", |m| m.slot.parts[0].kind = PartKind::Root),
        ("slot.parts", |m| {
            m.slot.parts = vec![m.slot.parts[0].clone(); 129]
        }),
        ("slot.parts[0].name", |m| {
            m.slot.parts[0].name = "../vmlinuz".into()
        }),
        ("slot.parts[0].size", |m| m.slot.parts[0].size = 0),
        ("slot.parts[0].size", |m| m.slot.parts[0].size = u64::MAX),
        ("slot.parts[1].offset", |m| m.slot.parts[1].offset += 4096),
        ("slot.parts[1].offset", |m| m.slot.parts[1].offset -= 4096),
        ("slot.parts[1].offset", |m| m.slot.parts[1].offset = u64::MAX),
        ("slot.parts[3].name", |m| {
            m.slot.parts[3] = m.slot.parts[2].clone();
            m.slot.parts[1].kind = PartKind::Root;
            m.slot.parts.push(m.slot.parts[1].clone());
            m.slot.parts[1].kind = PartKind::Initramfs;
        }),
        ("slot.verity.dataBlocks", |m| m.slot.verity.data_blocks -= 1),
        ("slot.verity.dataBlocks", |m| m.slot.verity.data_blocks = u64::MAX),
        ("slot.verity.treeOffset", |m| m.slot.verity.tree_offset += 4096),
        ("slot.verity.treeSize", |m| m.slot.verity.tree_size += 1),
        ("slot.size", |m| m.slot.size += 1),
        ("slot.size", |m| m.slot.verity.tree_size = u64::MAX - 4095),
        ("slot.size", |m| {
            m.disk.slot_size = m.slot.size.next_multiple_of(1 << 20) - (1 << 20)
        }),
        ("images", |m| m.images.clear()),
        ("images", |m| m.images[0].size -= 1),
        ("images[1].name", |m| m.images[1].name = ImageName::SLOT),
        ("images[0].offset", |m| m.images[0].offset = Some(0)),
        ("images[2].offset", |m| m.images[2].offset = None),
        ("images[3].offset", |m| {
            m.images.push(Image {
                name: "spl-2".parse().unwrap(),
                offset: Some(40_000),
                ..m.images[2].clone()
            });
        }),
        ("images", |m| {
            for number in 0..62 {
                m.images.push(Image {
                    name: format!("more-{number}").parse().unwrap(),
                    ..m.images[1].clone()
                });
            }
        }),
        ("images[2].size", |m| m.images[2].size = m.disk.first_partition),
        ("images[2].size", |m| m.images[2].offset = Some(u64::MAX)),
        ("index.frames", |m| m.index.frames = u32::MAX),
        ("deviceTrees.default", |m| {
            m.device_trees.as_mut().unwrap().default = "vmlinuz".into()
        }),
        ("keys", |m| m.keys = vec![support::key(); 17]),
        ("floor", |m| m.floor = "0.1.1".parse().unwrap()),
        ("patches", |m| {
            m.patches = vec![support::patches(b"old", 4096); 33]
        }),
        ("patches[0].offset", |m| {
            m.patches = vec![support::patches(b"old", 4097)]
        }),
        ("patches[1].offset", |m| {
            m.patches = vec![support::patches(b"old", 8192), support::patches(b"older", 8192)]
        }),
        ("patches[1].from", |m| {
            m.patches = vec![support::patches(b"old", 0), support::patches(b"old", 1 << 20)]
        }),
        ("patches[0].size", |m| {
            m.patches = vec![support::patches(b"old", u64::MAX - 4095)]
        }),
        ("patches[0].indexSize", |m| {
            m.patches = vec![PatchSet {
                index_size: 1 << 30,
                ..support::patches(b"old", 0)
            }]
        }),
    ];
    for (index, (field, spoil)) in cases.iter().enumerate() {
        let mut manifest = sample();
        spoil(&mut manifest);
        let fault = manifest.check().expect_err(&format!("case {index}, {field}"));
        assert_eq!(fault.field, *field, "case {index}: {fault}");
        // A builder cannot write it, and a reader cannot be made to take it.
        assert!(matches!(manifest.to_json(), Err(ParseError::Unsound(_))));
    }
}

#[test]
fn unknown_and_doubled_fields_are_refused() {
    let json = String::from_utf8(sample().to_json().unwrap()).unwrap();
    for (from, to) in [
        ("{\"format\":1", "{\"shell\":true,\"format\":1"),
        ("{\"format\":1", "{\"format\":1,\"format\":1"),
        ("\"dataBlocks\"", "\"data_blocks\""),
        ("\"version\":\"0.1.0\"", "\"version\":\"0.1\""),
        ("\"arch\":\"arm64\"", "\"arch\":\"aarch64\""),
        ("\"kind\":\"root\"", "\"kind\":\"firmware\""),
    ] {
        let spoilt = json.replacen(from, to, 1);
        assert_ne!(spoilt, json);
        assert!(
            matches!(
                Manifest::parse_unverified(spoilt.as_bytes()),
                Err(ParseError::Json(_))
            ),
            "{to}"
        );
    }
    let padded = [json.as_bytes(), &vec![b' '; MAX_JSON]].concat();
    assert!(matches!(
        Manifest::parse_unverified(&padded),
        Err(ParseError::TooLong { .. })
    ));
}

/// A release that brings keys, a floor and patches reads back as it was written.
#[test]
fn what_upgrades_need_is_kept() {
    let mut manifest = sample();
    manifest.keys = vec![support::key()];
    manifest.floor = manifest.version;
    manifest.patches = vec![
        support::patches(b"old", 1 << 20),
        support::patches(b"older", 2 << 20),
    ];
    let json = manifest.to_json().unwrap();
    let read = Manifest::parse_unverified(&json).unwrap();
    assert_eq!(read, manifest);
    assert_eq!(
        read.patches_from(&Digest::of(b"older")),
        Some(&manifest.patches[1])
    );
    assert_eq!(read.patches_from(&Digest::of(b"other")), None);
    let spoilt = String::from_utf8(json)
        .unwrap()
        .replacen("\"keys\":[\"RW", "\"keys\":[\"XX", 1);
    assert!(matches!(
        Manifest::parse_unverified(spoilt.as_bytes()),
        Err(ParseError::Json(_))
    ));
}

#[test]
fn largest_sound_manifest_fits() {
    let mut manifest = sample();
    let tree = manifest.slot.parts.remove(2);
    manifest.device_trees = None;
    for index in 0..125 {
        let mut part = tree.clone();
        part.name = format!("{index:064}");
        manifest.slot.parts.insert(2, part);
    }
    let mut offset = 0;
    for part in &mut manifest.slot.parts {
        part.offset = offset;
        offset = (offset + part.size).next_multiple_of(4096);
    }
    let verity = &mut manifest.slot.verity;
    (verity.data_blocks, verity.tree_offset) = (offset / 4096, offset);
    manifest.slot.size = verity.tree_offset + verity.tree_size;
    manifest.images[0].size = manifest.slot.size;
    assert_eq!(manifest.slot.parts.len(), 128);
    assert!(manifest.to_json().unwrap().len() < MAX_JSON);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(Manifest::parse_unverified(&bytes).is_err());
    }

    #[test]
    fn truncated_is_refused(cut in 0usize..2000) {
        let json = sample().to_json().unwrap();
        let cut = cut.min(json.len() - 1);
        prop_assert!(Manifest::parse_unverified(&json[..cut]).is_err());
    }

    /// Damaged JSON is refused, or says something sound: arithmetic on what it says can never overflow.
    #[test]
    fn damaged_json_never_panics(at in 0usize..2000, byte: u8) {
        let mut json = sample().to_json().unwrap();
        let at = at % json.len();
        json[at] = byte;
        if let Ok(manifest) = Manifest::parse_unverified(&json) {
            prop_assert_eq!(manifest.check(), Ok(()));
            prop_assert!(manifest.root().offset + manifest.root().size <= manifest.slot.size);
        }
    }

    #[test]
    fn huge_numbers_never_panic(numbers in proptest::collection::vec(any::<u64>(), 8)) {
        let mut manifest = sample();
        manifest.slot.parts[1].offset = numbers[0];
        manifest.slot.parts[1].size = numbers[1];
        manifest.slot.verity.data_blocks = numbers[2];
        manifest.slot.verity.tree_offset = numbers[3];
        manifest.slot.verity.tree_size = numbers[4];
        manifest.slot.size = numbers[5];
        manifest.disk.slot_size = numbers[6];
        manifest.images[2].offset = Some(numbers[7]);
        prop_assert!(manifest.check().is_err());
    }
}
