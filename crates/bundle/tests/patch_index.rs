//! The index of a patch set: what a writer makes is read, invalid indexes are refused, and nothing panics.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::io::Cursor;
use std::sync::LazyLock;

use bundle::{EXTENT, ImageName, NewPatch, PatchError, Patches, SOURCES_MAX, Source, Writer};
use manifest::model::Version;
use manifest::{Digest, Manifest};
use proptest::prelude::*;
use support::{MIB, manifest, noise, sign, slot};

/// Bytes of an entry before its sources, and of a source.
const ENTRY: usize = 32;
const SOURCE: usize = 16;

/// Makes a manifest of a slot with three extents, and the index of its only patch set.
fn sample(patches: &[NewPatch]) -> (Manifest, Vec<u8>) {
    let (data, image) = slot(vec![0; 2 * EXTENT as usize]);
    let mut writer = Writer::new(Cursor::new(Vec::new())).level(1);
    writer.add(ImageName::SLOT, 0, &mut &data[..]).unwrap();
    let mut sealed = writer.seal();
    sealed
        .add_patches(Digest([1; 32]), Version::default(), patches)
        .unwrap();
    let others = [
        (ImageName::ESP, None, 128 * MIB),
        (ImageName::BOOTCODE, Some(32768), 0),
    ];
    let manifest = manifest(&sealed, image, &others);
    let set = manifest.patches[0].clone();
    let json = manifest.to_json().unwrap();
    let (signature, _) = sign(&json);
    let mut bytes = Vec::new();
    sealed.write(&mut bytes, &json, signature.as_bytes()).unwrap();
    let index = bytes[set.offset as usize..][..set.index_size as usize].to_vec();
    (manifest, index)
}

fn new_patch(target: u64, raw_len: u64, sources: Vec<Source>, stored: usize) -> NewPatch {
    NewPatch {
        target,
        raw_len: raw_len as u32,
        sources,
        stored: noise(stored, 3),
    }
}

/// Makes patches for two of three extents.
fn two_patches(data_len: u64) -> Vec<NewPatch> {
    let source = |offset, len| Source { offset, len };
    let last = 2 * EXTENT;
    vec![
        new_patch(0, EXTENT, vec![source(8192, 4096), source(40960, 65536)], 100),
        new_patch(last, data_len - last, vec![source(0, 12 << 20)], 20),
    ]
}

fn data_len() -> u64 {
    TWO.0.slot.verity.tree_offset
}

/// A set of two patches, for the tests that change its index.
static TWO: LazyLock<(Manifest, Vec<u8>)> = LazyLock::new(|| {
    let data_len = sample(&[]).0.slot.verity.tree_offset;
    sample(&two_patches(data_len))
});

/// Parses an index after putting its hash into the manifest.
fn parse(manifest: &Manifest, index: &[u8]) -> Result<Patches, PatchError> {
    let mut manifest = manifest.clone();
    manifest.patches[0].index_size = index.len() as u64;
    manifest.patches[0].sha256 = Digest::of(index);
    Patches::parse(index, &manifest, &manifest.patches[0])
}

#[test]
fn a_written_index_is_read() {
    let patches = two_patches(data_len());
    let (manifest, index) = sample(&patches);
    let set = &manifest.patches[0];
    assert_eq!(index.len(), 2 * ENTRY + 3 * SOURCE);
    let read = Patches::parse(&index, &manifest, set).unwrap();
    assert_eq!(read.all().len(), 2);
    for (new, read) in patches.iter().zip(read.all()) {
        assert_eq!((new.target, new.raw_len), (read.target, read.raw_len));
        assert_eq!(
            (&new.sources, new.stored.len()),
            (&read.sources, read.stored_len as usize)
        );
    }
    let first = set.offset + set.index_size;
    assert_eq!(read.all()[0].file_offset, first);
    assert_eq!(read.all()[1].file_offset, first + 100);
    assert_eq!(set.size, 120);
    assert_eq!(read.at(2 * EXTENT), Some(&read.all()[1]));
    assert_eq!(read.at(EXTENT), None);
}

#[test]
fn a_set_without_patches_is_a_set() {
    let (manifest, index) = sample(&[]);
    assert!(index.is_empty());
    let read = Patches::parse(&index, &manifest, &manifest.patches[0]).unwrap();
    assert!(read.all().is_empty());
}

#[test]
fn a_patch_may_have_no_sources() {
    let (manifest, index) = sample(&[new_patch(EXTENT, EXTENT, Vec::new(), 9)]);
    let read = Patches::parse(&index, &manifest, &manifest.patches[0]).unwrap();
    assert!(read.all()[0].sources.is_empty());
}

#[test]
fn only_the_index_of_the_manifest_is_accepted() {
    let (manifest, index) = TWO.clone();
    let set = manifest.patches[0].clone();
    for at in 0..index.len() {
        let mut damaged = index.clone();
        damaged[at] ^= 1;
        assert_eq!(Patches::parse(&damaged, &manifest, &set), Err(PatchError::Hash));
    }
    assert_eq!(
        Patches::parse(&index[1..], &manifest, &set),
        Err(PatchError::Hash)
    );
    let mut stranger = set;
    stranger.size += 1;
    let refused = Patches::parse(&index, &manifest, &stranger);
    assert_eq!(refused, Err(PatchError::Unlisted(stranger.from)));
}

#[test]
fn each_rule_is_enforced() {
    let (manifest, index) = TWO.clone();
    assert!(parse(&manifest, &index).is_ok(), "the sample itself");
    let second = ENTRY + 2 * SOURCE;
    let long = |at: usize, value: u64| (at, value.to_le_bytes().to_vec());
    let short = |at: usize, value: u32| (at, value.to_le_bytes().to_vec());
    let file_offset = u64::from_le_bytes(index[16..24].try_into().unwrap());
    for (what, (at, value), expected) in [
        ("target between extents", long(0, 4096), "start at an extent"),
        (
            "target beyond the data",
            long(second, 3 * EXTENT),
            "start at an extent",
        ),
        ("target again", long(second, 0), "whole extent"),
        ("short extent", short(8, EXTENT as u32 - 4096), "whole extent"),
        ("long extent", short(8, EXTENT as u32 + 4096), "whole extent"),
        (
            "last extent not short",
            short(second + 8, EXTENT as u32),
            "whole extent",
        ),
        ("nothing stored", short(12, 0), "impossible length"),
        (
            "more stored than made",
            short(12, EXTENT as u32 + 1),
            "impossible length",
        ),
        (
            "hole in the file",
            long(16, file_offset + 1),
            "follow the one before",
        ),
        (
            "overlap in the file",
            long(second + 16, file_offset),
            "follow the one before",
        ),
        ("too many sources", short(24, 257), "too many sources"),
        ("more sources than bytes", short(second + 24, 2), "cut off"),
        ("reserved of a patch", short(28, 1), "reserved"),
        ("source between blocks", long(32, 512), "whole blocks"),
        ("part of a block", short(40, 4097), "whole blocks"),
        ("empty source", short(40, 0), "whole blocks"),
        ("reserved of a source", short(44, 1), "reserved"),
        (
            "source beyond all disks",
            long(32, u64::MAX - 4095),
            "largest disk",
        ),
        (
            "too much to read",
            short(second + ENTRY + 8, (12 << 20) + 4096),
            "bytes of sources",
        ),
    ] {
        let mut bytes = index.clone();
        bytes[at..at + value.len()].copy_from_slice(&value);
        let refused = parse(&manifest, &bytes).expect_err(what).to_string();
        assert!(refused.contains(expected), "{what}: {refused}");
    }
    let refused = parse(&manifest, &index[..second]).unwrap_err();
    assert!(
        matches!(refused, PatchError::Patch { number: 0, .. }),
        "{refused}"
    );
}

#[test]
fn order_and_size_are_enforced() {
    let (manifest, index) = sample(&[
        new_patch(0, EXTENT, Vec::new(), 10),
        new_patch(EXTENT, EXTENT, Vec::new(), 10),
    ]);
    let mut swapped = index.clone();
    swapped[..8].copy_from_slice(&EXTENT.to_le_bytes());
    swapped[ENTRY..ENTRY + 8].copy_from_slice(&0u64.to_le_bytes());
    let refused = parse(&manifest, &swapped).unwrap_err().to_string();
    assert!(refused.contains("out of order"), "{refused}");

    let mut other = manifest.clone();
    other.patches[0].size += 1;
    let refused = parse(&other, &index);
    let (expected, actual) = (21, 20);
    assert_eq!(refused, Err(PatchError::Size { expected, actual }));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 1..2000)) {
        prop_assert!(parse(&TWO.0, &bytes).is_err());
    }

    #[test]
    fn an_accepted_index_obeys_every_rule(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let (manifest, mut index) = TWO.clone();
        for (at, value) in changes {
            let at = at.index(index.len());
            index[at] = value;
        }
        let Ok(read) = parse(&manifest, &index) else { return Ok(()) };
        let data_len = manifest.slot.verity.tree_offset;
        let mut end = manifest.patches[0].offset + manifest.patches[0].index_size;
        let mut rising = None;
        for patch in read.all() {
            prop_assert!(patch.target % EXTENT == 0 && rising < Some(patch.target));
            prop_assert_eq!(u64::from(patch.raw_len), EXTENT.min(data_len - patch.target));
            prop_assert_eq!(patch.file_offset, end);
            prop_assert!(patch.sources_len() <= SOURCES_MAX as u64);
            for source in &patch.sources {
                prop_assert!(source.offset % 4096 == 0 && source.len % 4096 == 0 && source.len > 0);
            }
            rising = Some(patch.target);
            end += u64::from(patch.stored_len);
        }
    }
}
