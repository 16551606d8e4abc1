//! The first bytes of a bundle: its header.

use bundle::{ENTRY_LEN, HEADER_LEN, Header, INDEX_AT, MANIFEST_AT, SIGNATURES_AT, SIGNATURES_MAX};

/// The end of the header's numbers.
const USED: usize = 64;

/// An accepted header has one form, and its sections do not overlap.
pub fn header(data: &[u8]) {
    let mut bytes = [0; HEADER_LEN];
    let len = data.len().min(HEADER_LEN);
    bytes[..len].copy_from_slice(&data[..len]);
    check(&bytes);
    check(&repair(bytes));
    if let Some((lengths, _)) = data.split_first_chunk::<24>() {
        let length = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| lengths[at + i]));
        if let Ok(header) = Header::for_lengths(length(0), length(8), length(16)) {
            assert_eq!(Header::parse(&header.encode()), Ok(header));
        }
    }
}

fn check(bytes: &[u8; HEADER_LEN]) {
    let Ok(header) = Header::parse(bytes) else {
        return;
    };
    assert!(header.encode() == *bytes, "one header, one form");
    let sections = [
        (header.manifest, MANIFEST_AT, manifest::MAX_JSON as u64),
        (header.signatures, SIGNATURES_AT, SIGNATURES_MAX as u64),
        (header.index, INDEX_AT, (ENTRY_LEN as u64) << 20),
    ];
    for (span, at, most) in sections {
        assert!(span.offset == at && span.len <= most);
    }
    assert!(header.manifest.end() <= SIGNATURES_AT && header.signatures.end() <= INDEX_AT);
}

/// Repairs what a fuzzer does not guess: magic, format, places and checksum; lengths are kept.
fn repair(mut bytes: [u8; HEADER_LEN]) -> [u8; HEADER_LEN] {
    bytes[..8].copy_from_slice(b"BEDPLATE");
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    for (at, place) in [(16, MANIFEST_AT), (32, SIGNATURES_AT), (48, INDEX_AT)] {
        bytes[at..at + 8].copy_from_slice(&place.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[16..USED]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}
