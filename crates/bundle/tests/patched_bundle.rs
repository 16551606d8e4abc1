//! Bundles with patches: written, opened, read, and the patches applied.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::io::Cursor;
use std::sync::LazyLock;

use bundle::{
    Decoder, EXTENT, Error, FrameError, ImageName, IndexError, NewPatch, Patch, Reader, Source, WriteError,
    Writer,
};
use manifest::model::Version;
use manifest::{Digest, TrustedKey};
use proptest::prelude::*;
use support::{MIB, manifest, noise, sign, slot};

/// A bundle with two patch sets, the old slot image and the new one.
struct Sample {
    bytes: Vec<u8>,
    key: TrustedKey,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Compresses `target` relative to `sources`.
fn pack(sources: &[u8], target: &[u8]) -> Vec<u8> {
    NewPatch::pack(0, target, Vec::new(), sources, None)
        .unwrap()
        .stored
}

fn make_sample() -> Sample {
    let (old, old_image) = slot(noise(5 << 20, 7));
    // Everything moves by a page, and a little is new.
    let root = [noise(4096, 8), noise(5 << 20, 7)].concat();
    let (new, image) = slot(root);
    let mut writer = Writer::new(Cursor::new(Vec::new())).level(1);
    writer.add(ImageName::SLOT, 0, &mut &new[..]).unwrap();
    writer.add(ImageName::BOOTCODE, 0, &mut &b"odd"[..]).unwrap();
    let mut sealed = writer.seal();
    let data_len = image.verity.tree_offset;
    let whole = Source {
        offset: 0,
        len: old_image.verity.tree_offset as u32,
    };
    let sources = &old[..whole.len as usize];
    let extents = (0..data_len).step_by(EXTENT as usize).map(|target| {
        let extent = &new[target as usize..data_len.min(target + EXTENT) as usize];
        NewPatch::pack(target, extent, vec![whole], sources, None).unwrap()
    });
    let patches: Vec<NewPatch> = extents.collect();
    let from = old_image.verity.root_hash;
    sealed.add_patches(from, Version::default(), &patches).unwrap();
    sealed
        .add_patches(Digest([9; 32]), Version::default(), &patches[..1])
        .unwrap();
    let others = [
        (ImageName::ESP, None, 128 * MIB),
        (ImageName::BOOTCODE, Some(32768), 3),
    ];
    let json = manifest(&sealed, image, &others).to_json().unwrap();
    let (signature, key) = sign(&json);
    let mut bytes = Vec::new();
    let len = sealed.write(&mut bytes, &json, signature.as_bytes()).unwrap();
    assert_eq!(len, bytes.len() as u64);
    Sample { bytes, key, old, new }
}

/// Returns the sample, which takes a while to make.
fn sample() -> &'static Sample {
    static SAMPLE: LazyLock<Sample> = LazyLock::new(make_sample);
    &SAMPLE
}

fn open(bytes: &[u8], key: TrustedKey) -> Result<Reader<Cursor<&[u8]>>, Error> {
    Reader::open(Cursor::new(bytes), &[key])
}

fn gather(old: &[u8], patch: &Patch) -> Vec<u8> {
    let pieces = patch.sources.iter();
    let pieces = pieces.map(|source| &old[source.offset as usize..][..source.len as usize]);
    pieces.collect::<Vec<_>>().concat()
}

#[test]
fn patches_make_the_new_image_from_the_old_one() {
    let sample = sample();
    let mut reader = open(&sample.bytes, sample.key).unwrap();
    let sets = reader.manifest().patches.clone();
    assert_eq!(sets.len(), 2);
    let patches = reader.patches(&sets[0]).unwrap();
    assert_eq!(patches.all().len(), 2);
    let (mut decoder, mut stored, mut out) = (Decoder::new().unwrap(), Vec::new(), Vec::new());
    for patch in patches.all() {
        reader
            .read(patch.file_offset, patch.stored_len as usize, &mut stored)
            .unwrap();
        decoder
            .patch(patch, &gather(&sample.old, patch), &stored, &mut out)
            .unwrap();
        assert!(out == sample.new[patch.target as usize..][..patch.raw_len as usize]);
    }
    let fetched = sets[0].index_size + sets[0].size;
    assert!(fetched < 16 * 1024, "{fetched} bytes for one changed page");
    assert_eq!(reader.patches(&sets[1]).unwrap().all().len(), 1);
    let end = sets[1].offset + sets[1].index_size + sets[1].size;
    assert_eq!(end, sample.bytes.len() as u64);
}

#[test]
fn sets_start_at_the_next_page_and_gaps_are_zero() {
    let sample = sample();
    let mut reader = open(&sample.bytes, sample.key).unwrap();
    let sets = reader.manifest().patches.clone();
    let frames_end = reader.index().frames_end();
    let first_end = sets[0].offset + sets[0].index_size + sets[0].size;
    for (number, gap) in [(0, frames_end..sets[0].offset), (1, first_end..sets[1].offset)] {
        assert!((1..4096).contains(&(gap.end - gap.start)), "{gap:?}");
        assert_eq!(gap.end % 4096, 0);
        for at in [gap.start, gap.end - 1] {
            let mut bytes = sample.bytes.clone();
            bytes[at as usize] = 1;
            let mut reader = open(&bytes, sample.key).unwrap();
            let refused = reader.patches(&sets[number]);
            assert!(
                matches!(refused, Err(Error::Padding(place)) if place == at),
                "{refused:?}"
            );
        }
    }
    reader.patches(&sets[0]).unwrap();
}

#[test]
fn a_bundle_truncated_in_its_patches_is_refused() {
    let sample = sample();
    for len in [sample.bytes.len() - 1, sample.bytes.len() - 5000] {
        let refused = open(&sample.bytes[..len], sample.key).err();
        assert!(matches!(refused, Some(Error::Length { .. })), "{refused:?}");
    }
    let long = [&sample.bytes[..], b"x"].concat();
    assert!(matches!(
        open(&long, sample.key).err(),
        Some(Error::Length { .. })
    ));
}

#[test]
fn a_manifest_that_does_not_match_the_patches_is_never_written() {
    let (data, image) = slot(noise(100, 1));
    let sealed = || {
        let mut writer = Writer::new(Cursor::new(Vec::new())).level(1);
        writer.add(ImageName::SLOT, 0, &mut &data[..]).unwrap();
        writer.seal()
    };
    let patched = |patches: &[NewPatch]| {
        let mut sealed = sealed();
        sealed
            .add_patches(Digest([1; 32]), Version::default(), patches)
            .unwrap();
        sealed
    };
    let others = [(ImageName::BOOTCODE, Some(32768), 0)];
    let json = manifest(&sealed(), image.clone(), &others).to_json().unwrap();
    let result = patched(&[]).write(&mut Vec::new(), &json, b"");
    assert!(matches!(result, Err(WriteError::OtherPatches)), "{result:?}");

    let torn = NewPatch {
        target: 0,
        raw_len: 4096,
        sources: Vec::new(),
        stored: vec![1],
    };
    let wrong = patched(&[torn]);
    let json = manifest(&wrong, image.clone(), &others).to_json().unwrap();
    let result = wrong.write(&mut Vec::new(), &json, b"");
    assert!(matches!(result, Err(WriteError::Patches(_))), "{result:?}");

    let moved = patched(&[]);
    let mut manifest = manifest(&moved, image, &others);
    manifest.patches[0].offset += 4096;
    let index = bundle::Index::parse(&[], &manifest);
    assert!(index.is_err());
    let result = moved.write(&mut Vec::new(), &manifest.to_json().unwrap(), b"");
    assert!(matches!(result, Err(WriteError::OtherPatches)), "{result:?}");
}

#[test]
fn a_set_that_does_not_follow_the_frames_is_refused() {
    let sample = sample();
    let reader = open(&sample.bytes, sample.key).unwrap();
    let mut manifest = (**reader.manifest()).clone();
    let frames = manifest.index.frames as usize * bundle::ENTRY_LEN;
    let index = &sample.bytes[bundle::INDEX_AT as usize..][..frames];
    assert!(bundle::Index::parse(index, &manifest).is_ok());
    manifest.patches[1].offset += 4096;
    let refused = bundle::Index::parse(index, &manifest);
    assert!(
        matches!(refused, Err(IndexError::Patches { number: 1, .. })),
        "{refused:?}"
    );
}

/// A patch that makes `len` bytes from `sources` bytes.
fn patch(len: usize, sources: usize) -> Patch {
    let whole = Source {
        offset: 0,
        len: sources as u32,
    };
    Patch {
        target: 0,
        raw_len: len as u32,
        sources: vec![whole],
        file_offset: 0,
        stored_len: 1,
    }
}

#[test]
fn a_patch_makes_its_extent_and_nothing_else() {
    let old = noise(1 << 20, 4);
    let new = [&old[5000..900_000], &noise(1000, 5)].concat();
    let packed = pack(&old, &new);
    let mut decoder = Decoder::new().unwrap();
    let mut out = b"rubbish".to_vec();
    let good = patch(new.len(), old.len());
    decoder.patch(&good, &old, &packed, &mut out).unwrap();
    assert!(out == new);

    let mut refused = |patch: &Patch, sources: &[u8], stored: &[u8]| {
        let mut out = b"rubbish".to_vec();
        let error = decoder.patch(patch, sources, stored, &mut out).unwrap_err();
        assert!(out.is_empty() && out.capacity() <= EXTENT as usize);
        error
    };
    for len in [new.len() - 1, new.len() + 1, 1, EXTENT as usize] {
        refused(&patch(len, old.len()), &old, &packed);
    }
    let wrong_sources = refused(&good, &old[1..], &packed);
    assert!(matches!(wrong_sources, FrameError::Patch(_)));
    let too_long = refused(&patch(EXTENT as usize + 1, old.len()), &old, &packed);
    assert!(matches!(too_long, FrameError::Patch(_)));
    // Without its steps a patch is a valid one without steps: it makes other bytes, which the hash tree detects.
    let steps_at = zstd::zstd_safe::find_frame_compressed_size(&packed).unwrap();
    for len in (0..packed.len()).filter(|len| *len != steps_at) {
        refused(&good, &old, &packed[..len]);
    }
    refused(&good, &old, &[&packed[..], b"x"].concat());
    refused(&good, &old, &[&packed[..], &packed[..]].concat());
    refused(
        &patch(2 * new.len(), old.len()),
        &old,
        &[&packed[..], &packed[..]].concat(),
    );
    decoder.patch(&good, &old, &packed[..steps_at], &mut out).unwrap();
    assert!(out.len() == new.len() && out != new);
}

/// Makes an extent of this many bytes by a patch.
fn unpack(old: &[u8], len: usize, packed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = Decoder::new().unwrap();
    decoder
        .patch(&patch(len, old.len()), old, packed, &mut out)
        .unwrap();
    out
}

#[test]
fn code_with_relocated_pointers_makes_a_small_patch() {
    // Random code with random pointers in it, all moved by the same distance.
    let program = |moved: u32| {
        let (code, pointers) = (noise(1_200_000, 9), noise(400_000, 3));
        let pointers = pointers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes) / 2);
        let pairs = code.chunks(12).zip(pointers);
        let pairs = pairs.map(|(code, pointer)| [code, &(pointer + moved).to_le_bytes()].concat());
        pairs.collect::<Vec<_>>().concat()
    };
    let (old, new) = (program(0), program(0x1234));
    let packed = pack(&old, &new);
    assert!(packed.len() < 2000, "{} bytes for 100000 pointers", packed.len());
    assert!(unpack(&old, new.len(), &packed) == new);
}

#[test]
fn where_little_is_similar_a_patch_has_no_steps() {
    // Zeros are equal everywhere; following them doubles what is between them.
    let sparse = |seed| {
        let pairs = noise(800_000, seed);
        let pairs = pairs.as_chunks::<2>().0.iter();
        pairs
            .map(|[zero, byte]| if *zero < 230 { 0 } else { *byte })
            .collect::<Vec<u8>>()
    };
    let (old, new) = (sparse(1), sparse(0x1234_5678_9abc));
    let packed = pack(&old, &new);
    let first = zstd::zstd_safe::find_frame_compressed_size(&packed).unwrap();
    assert_eq!(first, packed.len(), "of {} bytes", new.len());
    assert!(unpack(&old, new.len(), &packed) == new);
}

#[test]
fn forms_that_are_not_allowed_are_refused() {
    let new = noise(4096, 6);
    let mut decoder = Decoder::new().unwrap();
    let mut refused = |stored: &[u8]| {
        let patch = patch(new.len(), 0);
        decoder
            .patch(&patch, &[], stored, &mut Vec::new())
            .unwrap_err()
            .to_string()
    };
    let packed = zstd::bulk::compress(&new, 3).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = packed.clone();
        bytes[at] = value;
        bytes
    };
    assert!(refused(&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]).contains("not compressed by zstd"));
    assert!(
        refused(&with(0, 0x27)).contains("not compressed by zstd"),
        "a legacy format"
    );
    assert!(refused(&with(4, packed[4] | 1)).contains("dictionary"));
    // Not a single segment, and a window of 2^25.
    assert!(refused(&[&packed[..4], &[0, 15 << 3, 0, 0, 0]].concat()).contains("window"));
    assert!(refused(&[&packed[..4], &[0, (14 << 3) | 1, 0, 0, 0]].concat()).contains("window"));
}

/// Old bytes, new bytes, and the patch between them.
static DAMAGED: LazyLock<(Vec<u8>, Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let old = noise(100_000, 4);
    let new = [&old[3000..60_000], &noise(100, 5), &old[20_000..50_000]].concat();
    let packed = pack(&old, &new);
    (old, new, packed)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut out = Vec::new();
        let stored = [&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes].concat();
        for stored in [&bytes, &stored] {
            let done = Decoder::new().unwrap().patch(&patch(10_000, 4096), &[7; 4096], stored, &mut out);
            prop_assert_eq!(out.len(), if done.is_ok() { 10_000 } else { 0 });
        }
    }

    #[test]
    fn damage_never_panics_and_never_makes_more(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let (old, new, packed) = &*DAMAGED;
        let mut packed = packed.clone();
        let at = at.index(packed.len());
        packed[at] = value;
        let mut out = Vec::new();
        let done = Decoder::new().unwrap().patch(&patch(new.len(), old.len()), old, &packed, &mut out);
        prop_assert_eq!(out.len(), if done.is_ok() { new.len() } else { 0 });
    }
}
