//! Bundles read back as they were written, and none that was tampered with is taken.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::io::Cursor;

use bundle::{
    Codec, Error, HEADER_LEN, Header, INDEX_AT, ImageName, Reader, SIGNATURES_AT, WriteError, Writer,
};
use manifest::model::Version;
use manifest::{Arch, Digest, Disk, Image, Manifest, Part, PartKind, SlotImage, TrustedKey, Verity};
use minisign::KeyPair;
use proptest::prelude::*;

const MIB: u64 = 1024 * 1024;

/// A signed bundle, the key for it, and what is inside.
struct Sample {
    bytes: Vec<u8>,
    key: TrustedKey,
    slot: Vec<u8>,
    bootcode: Vec<u8>,
}

/// Makes bytes that pack badly.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Makes a slot image: kernel, initramfs, root, tree.
fn slot() -> (Vec<u8>, SlotImage) {
    let mut data = Vec::new();
    let mut parts = Vec::new();
    let contents = [
        (PartKind::Kernel, "vmlinuz", noise(9000, 1)),
        (PartKind::Initramfs, "initramfs", b"0707010".repeat(3000)),
        (
            PartKind::Root,
            "root.erofs",
            [vec![0; 40960], noise(20000, 2)].concat(),
        ),
    ];
    for (kind, name, bytes) in contents {
        let (offset, size) = (data.len() as u64, bytes.len() as u64);
        parts.push(Part {
            kind,
            name: name.into(),
            offset,
            size,
            sha256: Digest::of(&bytes),
        });
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(4096), 0);
    }
    let geometry = verity::Geometry::for_len(data.len() as u64).unwrap();
    let tree = verity::build(&mut &data[..], &geometry, &verity::SALT).unwrap();
    let verity = Verity {
        data_blocks: geometry.data_blocks(),
        tree_offset: data.len() as u64,
        tree_size: tree.bytes.len() as u64,
        salt: Digest(verity::SALT),
        root_hash: Digest(tree.root),
    };
    data.extend(tree.bytes);
    let size = data.len() as u64;
    (data, SlotImage { size, parts, verity })
}

/// Makes a small bundle with every kind of frame.
fn sample() -> Sample {
    let (slot, slot_image) = slot();
    let bootcode = b"boot code ".repeat(500);
    let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(8192).level(3);
    writer.add(ImageName::Slot, 0, &mut &slot[..]).unwrap();
    writer.add(ImageName::Esp, 0, &mut &noise(512, 3)[..]).unwrap();
    writer
        .add(ImageName::Esp, 65536, &mut &b"files".repeat(2000)[..])
        .unwrap();
    writer.add(ImageName::Bootcode, 0, &mut &bootcode[..]).unwrap();
    let sealed = writer.seal();
    let image = |name, offset, size| Image {
        name,
        offset,
        size,
        sha256: sealed.sha256(name),
    };
    let manifest = Manifest {
        format: 1,
        board: "test".into(),
        arch: Arch::Arm64,
        version: Version {
            major: 1,
            minor: 2,
            patch: 3,
        },
        created: 1_700_000_000,
        overlays: vec!["base".into()],
        locked: true,
        cmdline: "console=ttyAMA0".into(),
        disk: Disk {
            slot_size: MIB,
            first_partition: 16 * MIB,
            hybrid_mbr: false,
        },
        images: vec![
            image(ImageName::Slot, None, slot.len() as u64),
            image(ImageName::Esp, None, 128 * MIB),
            image(ImageName::Bootcode, Some(32768), bootcode.len() as u64),
        ],
        slot: slot_image,
        index: sealed.index(),
        device_trees: None,
        keys: Vec::new(),
        floor: Version::default(),
        patches: Vec::new(),
    };
    let json = manifest.to_json().unwrap();
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(None, &sk, Cursor::new(&json), Some("release 1.2.3"), None).unwrap();
    let mut bytes = Vec::new();
    let len = sealed
        .write(&mut bytes, &json, signature.to_string().as_bytes())
        .unwrap();
    assert_eq!(len, bytes.len() as u64);
    let key = TrustedKey::parse(&pk.to_box().unwrap().to_string()).unwrap();
    Sample {
        bytes,
        key,
        slot,
        bootcode,
    }
}

/// Opens a bundle and reads all of it.
fn read_all(bytes: &[u8], key: TrustedKey) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let mut reader = Reader::open(Cursor::new(bytes), &[key])?;
    let mut contents = [Vec::new(), Vec::new()];
    let mut out = Vec::new();
    let frames = reader.index().frames().to_vec();
    for frame in &frames {
        reader.frame(frame, &mut out)?;
        match frame.image {
            ImageName::Slot => contents[0].extend_from_slice(&out),
            ImageName::Bootcode => contents[1].extend_from_slice(&out),
            ImageName::Esp => {}
        }
    }
    Ok(contents.into())
}

#[test]
fn what_goes_in_comes_out() {
    let sample = sample();
    let reader = Reader::open(Cursor::new(&sample.bytes), &[sample.key]).unwrap();
    for codec in [Codec::Zero, Codec::Zstd, Codec::Raw] {
        assert!(
            reader.index().frames().iter().any(|frame| frame.codec == codec),
            "{codec:?}"
        );
    }
    assert_eq!(reader.index().of(ImageName::Esp).len(), 3);
    assert_eq!(
        read_all(&sample.bytes, sample.key).unwrap(),
        (sample.slot, sample.bootcode)
    );
}

#[test]
fn the_header_is_where_the_format_says() {
    let sample = sample();
    let header = Header::parse(sample.bytes.first_chunk::<HEADER_LEN>().unwrap()).unwrap();
    assert_eq!(
        (header.manifest.offset, header.signatures.offset),
        (4096, 4096 + 48 * 1024)
    );
    assert_eq!(header.index.offset, 68 * 1024);
    assert_eq!(header.encode(), sample.bytes[..HEADER_LEN]);
    let json = &sample.bytes[4096..4096 + header.manifest.len as usize];
    assert!(Manifest::parse_unverified(json).is_ok());
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let sample = sample();
    let good = read_all(&sample.bytes, sample.key).unwrap();
    let header = Header::parse(sample.bytes.first_chunk::<HEADER_LEN>().unwrap()).unwrap();
    let sections = [header.manifest, header.signatures, header.index];
    // The comment on a signature's first line is nobody's word, by minisign's design: it may say anything.
    let start = SIGNATURES_AT as usize;
    let line = sample.bytes[start..]
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap();
    let comment = start + "untrusted comment: ".len()..start + line;

    let mut bytes = sample.bytes.clone();
    for at in (0..bytes.len()).filter(|at| !comment.contains(at)) {
        let in_section = at < 64
            || sections
                .iter()
                .any(|s| (s.offset..s.end()).contains(&(at as u64)));
        // Padding and packed data are long and all alike; a prime step meets every bit of them.
        if !in_section && at % 67 != 0 {
            continue;
        }
        let bit = 1u8 << (at % 8);
        bytes[at] ^= bit;
        match read_all(&bytes, sample.key) {
            Err(_) => {}
            // zstd leaves a few bits of its headers unused; what is handed out is right all the same.
            Ok(same) => assert!(
                at as u64 > header.index.end() && same == good,
                "bit {} of byte {at}",
                at % 8
            ),
        }
        bytes[at] ^= bit;
    }
}

#[test]
fn short_and_long_files_are_refused() {
    let sample = sample();
    for len in (0..sample.bytes.len())
        .step_by(509)
        .chain([sample.bytes.len() - 1])
    {
        assert!(read_all(&sample.bytes[..len], sample.key).is_err(), "{len} bytes");
    }
    let long = [&sample.bytes[..], b"x"].concat();
    assert!(matches!(read_all(&long, sample.key), Err(Error::Length { .. })));
}

#[test]
fn another_key_is_refused() {
    let (one, other) = (sample(), sample());
    assert!(matches!(read_all(&one.bytes, other.key), Err(Error::Manifest(_))));
    assert!(matches!(
        Reader::open(Cursor::new(&one.bytes), &[]),
        Err(Error::Manifest(_))
    ));
}

#[test]
fn a_manifest_that_does_not_fit_is_never_written() {
    let sample = sample();
    let header = Header::parse(sample.bytes.first_chunk::<HEADER_LEN>().unwrap()).unwrap();
    let json = &sample.bytes[4096..4096 + header.manifest.len as usize];
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    writer.add(ImageName::Slot, 0, &mut &sample.slot[..]).unwrap();
    let result = writer.seal().write(&mut Vec::new(), json, b"");
    assert!(matches!(result, Err(WriteError::Index(_))), "{result:?}");
}

#[test]
fn packing_is_the_same_every_time() {
    let data = [noise(100_000, 5), vec![7; 300_000]].concat();
    let pack = || {
        let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(4096).level(1);
        writer.add(ImageName::Slot, 0, &mut &data[..]).unwrap();
        writer.seal().index()
    };
    assert_eq!(pack(), pack());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn garbage_behind_a_good_header_never_panics(
        seed in any::<u64>(), len in 0usize..4096, json in 0u64..60_000, index in 0u64..10_000,
    ) {
        let mut bytes = match Header::for_lengths(json, 300, index) {
            Ok(header) => header.encode().to_vec(),
            Err(_) => return Ok(()),
        };
        bytes.resize(INDEX_AT as usize, 0);
        bytes.extend(noise(len, seed));
        prop_assert!(read_all(&bytes, sample_key()).is_err());
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80_000)) {
        prop_assert!(read_all(&bytes, sample_key()).is_err());
    }
}

fn sample_key() -> TrustedKey {
    TrustedKey {
        id: [0; 8],
        key: [0; 32],
    }
}
