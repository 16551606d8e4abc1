//! Bundles read back as they were written, and modified ones are refused.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::io::Cursor;

use bundle::{
    Codec, ENTRY_LEN, Error, HEADER_LEN, Header, INDEX_AT, ImageName, Reader, SIGNATURES_AT, WriteError,
    Writer,
};
use manifest::{Manifest, TrustedKey};
use proptest::prelude::*;
use support::{MIB, manifest, noise, sign, slot};

/// A signed bundle, the key for it, and what is inside.
struct Sample {
    bytes: Vec<u8>,
    key: TrustedKey,
    slot: Vec<u8>,
    bootcode: Vec<u8>,
}

/// Makes a small bundle with every kind of frame.
fn sample() -> Sample {
    let (slot, slot_image) = slot([vec![0; 40960], noise(20000, 2)].concat());
    let bootcode = b"boot code ".repeat(500);
    let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(8192).level(3);
    writer.add(ImageName::SLOT, 0, &mut &slot[..]).unwrap();
    writer.add(ImageName::ESP, 0, &mut &noise(512, 3)[..]).unwrap();
    writer
        .add(ImageName::ESP, 65536, &mut &b"files".repeat(2000)[..])
        .unwrap();
    writer.add(ImageName::BOOTCODE, 0, &mut &bootcode[..]).unwrap();
    for name in ["one-more", "another"] {
        writer
            .add(name.parse().unwrap(), 0, &mut name.as_bytes())
            .unwrap();
    }
    let sealed = writer.seal();
    let others = [
        (ImageName::ESP, None, 128 * MIB),
        (ImageName::BOOTCODE, Some(32768), bootcode.len() as u64),
        ("one-more".parse().unwrap(), Some(65536), 8),
        ("another".parse().unwrap(), Some(131_072), 7),
    ];
    let json = manifest(&sealed, slot_image, &others).to_json().unwrap();
    let (signature, key) = sign(&json);
    let mut bytes = Vec::new();
    let len = sealed.write(&mut bytes, &json, signature.as_bytes()).unwrap();
    assert_eq!(len, bytes.len() as u64);
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
            ImageName::SLOT => contents[0].extend_from_slice(&out),
            ImageName::BOOTCODE => contents[1].extend_from_slice(&out),
            _ => {}
        }
    }
    Ok(contents.into())
}

#[test]
fn a_bundle_reads_back_as_it_was_written() {
    let sample = sample();
    let reader = Reader::open(Cursor::new(&sample.bytes), &[sample.key]).unwrap();
    for codec in [Codec::Zero, Codec::Zstd, Codec::Raw] {
        assert!(
            reader.index().frames().iter().any(|frame| frame.codec == codec),
            "{codec:?}"
        );
    }
    assert_eq!(reader.index().of(ImageName::ESP).len(), 3);
    let codes = |bytes: &[u8]| [0, 1].map(|back| bytes[bytes.len() - (2 - back) * ENTRY_LEN]);
    let entries = INDEX_AT as usize..INDEX_AT as usize + reader.index().frames().len() * ENTRY_LEN;
    assert_eq!(
        codes(&sample.bytes[entries]),
        [3, 4],
        "as docs/formats.md numbers them"
    );
    for name in ["one-more", "another"] {
        let frames = reader.index().of(name.parse().unwrap());
        assert_eq!((frames.len(), frames[0].raw_len as usize), (1, name.len()));
    }
    assert!(reader.index().of("absent".parse().unwrap()).is_empty());
    assert_eq!(
        read_all(&sample.bytes, sample.key).unwrap(),
        (sample.slot, sample.bootcode)
    );
}

#[test]
fn the_header_matches_the_format() {
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
    // The comment on a signature's first line is not signed, by minisign's design: it may say anything.
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
        // Padding and compressed data are long and uniform; a prime step meets every bit of them.
        if !in_section && at % 67 != 0 {
            continue;
        }
        let bit = 1u8 << (at % 8);
        bytes[at] ^= bit;
        match read_all(&bytes, sample.key) {
            Err(_) => {}
            // zstd leaves a few bits of its headers unused; what is returned is right regardless.
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
fn a_manifest_that_does_not_match_is_never_written() {
    let sample = sample();
    let header = Header::parse(sample.bytes.first_chunk::<HEADER_LEN>().unwrap()).unwrap();
    let json = &sample.bytes[4096..4096 + header.manifest.len as usize];
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    writer.add(ImageName::SLOT, 0, &mut &sample.slot[..]).unwrap();
    let result = writer.seal().write(&mut Vec::new(), json, b"");
    assert!(matches!(result, Err(WriteError::Index(_))), "{result:?}");
}

#[test]
fn compression_is_deterministic() {
    let data = [noise(100_000, 5), vec![7; 300_000]].concat();
    let pack = || {
        let mut writer = Writer::new(Cursor::new(Vec::new())).frame_len(4096).level(1);
        writer.add(ImageName::SLOT, 0, &mut &data[..]).unwrap();
        writer.seal().index()
    };
    assert_eq!(pack(), pack());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn garbage_after_a_valid_header_never_panics(
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
