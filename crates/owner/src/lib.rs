//! The owner record: whether a node was ever configured, and whose certificates it accepts.
//!
//! It is in BOOTSTATE, apart from the machine config, so that a node whose config is lost or damaged still knows that it
//! has an owner, and which. There are two copies in separate halves, and a change writes both, one after the other: once
//! it is done, no damage to one copy restores an older state. This crate converts records to bytes and back. It does not
//! read or write disks, and does not decide what a node without a config does: that is machined's `config`.
#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Where the two copies start inside the BOOTSTATE partition, each in its own half.
pub const OFFSETS: [u64; 2] = [192 * 1024, 704 * 1024];

/// The space for one copy.
pub const AREA: usize = 32 * 1024;

/// The most bytes of certificates that are kept: enough for about twenty authorities.
pub const AUTHORITIES_MAX: usize = 16 * 1024;

const MAGIC: [u8; 8] = *b"BPOWNER1";
const FORMAT: u32 = 1;
const HEADER: usize = 32;

// Byte offsets inside a copy; docs/bootloader.md has the same table.
const AT_FORMAT: usize = 8;
const AT_CRC: usize = 12;
/// The checksum covers everything after itself, to the end of the text.
const AT_GENERATION: usize = 16;
const AT_KIND: usize = 24;
const AT_LENGTH: usize = 28;

/// The owner of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// There is none: the node was never configured, or was reset since.
    Nobody,
    /// There is one, and it is unknown which: the record is damaged, or the authorities were too long to be kept.
    Unknown,
    /// The holders of certificates of one of these authorities. PEM, public.
    Authorities(String),
}

/// Why some bytes are not an owner record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are only zeros.
    #[error("there is no owner record")]
    Blank,
    /// Something else is there, or a record that is damaged.
    #[error("the owner record is damaged")]
    Damaged,
}

impl Owner {
    /// Returns the owner to be stored for a config with these authorities, in PEM.
    pub fn of(authorities: &str) -> Self {
        if authorities.is_empty() || authorities.len() > AUTHORITIES_MAX {
            Owner::Unknown
        } else {
            Owner::Authorities(authorities.to_owned())
        }
    }
}

/// Encodes one copy of a record: all of its area.
pub fn encode(generation: u64, owner: &Owner) -> Vec<u8> {
    let (kind, text): (u32, &str) = match owner {
        Owner::Nobody => (0, ""),
        Owner::Unknown => (1, ""),
        // What is too long is not truncated: half a certificate is useless.
        Owner::Authorities(text) if text.len() > AUTHORITIES_MAX => (1, ""),
        Owner::Authorities(text) => (2, text),
    };
    let mut bytes = vec![0; AREA];
    bytes[..8].copy_from_slice(&MAGIC);
    put(&mut bytes, AT_FORMAT, FORMAT.to_le_bytes());
    put(&mut bytes, AT_GENERATION, generation.to_le_bytes());
    put(&mut bytes, AT_KIND, kind.to_le_bytes());
    // At most AUTHORITIES_MAX.
    put(&mut bytes, AT_LENGTH, (text.len() as u32).to_le_bytes());
    bytes[HEADER..][..text.len()].copy_from_slice(text.as_bytes());
    let crc = crc32fast::hash(&bytes[AT_GENERATION..HEADER + text.len()]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    bytes
}

/// Decodes one copy of a record, and its generation. Only bytes that [`encode`] makes are accepted.
///
/// # Errors
///
/// Fails when there is no record, or none that this release can read: a newer format counts as damaged.
pub fn decode(bytes: &[u8]) -> Result<(u64, Owner), DecodeError> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(DecodeError::Blank);
    }
    parse(bytes).ok_or(DecodeError::Damaged)
}

fn parse(bytes: &[u8]) -> Option<(u64, Owner)> {
    let bytes = bytes.get(..AREA)?;
    let number = |at| Some(u32::from_le_bytes(take(bytes, at)?));
    let length = usize::try_from(number(AT_LENGTH)?).ok()?;
    if bytes[..8] != MAGIC || number(AT_FORMAT)? != FORMAT || length > AUTHORITIES_MAX {
        return None;
    }
    let covered = bytes.get(AT_GENERATION..HEADER + length)?;
    if crc32fast::hash(covered) != number(AT_CRC)? {
        return None;
    }
    let text = core::str::from_utf8(&bytes[HEADER..HEADER + length]).ok()?;
    let owner = match (number(AT_KIND)?, length) {
        (0, 0) => Owner::Nobody,
        (1, 0) => Owner::Unknown,
        (2, 1..) => Owner::Authorities(text.to_owned()),
        _ => return None,
    };
    let generation = u64::from_le_bytes(take(bytes, AT_GENERATION)?);
    // Each record has exactly one form, including the bytes after the text.
    (encode(generation, &owner) == bytes).then_some((generation, owner))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// What both copies together say, and where the next write goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The owner of the node.
    pub owner: Owner,
    /// The generation of the copy that says so, or 0.
    pub generation: u64,
    /// Index into [`OFFSETS`] of the copy to overwrite next: the invalid or older one.
    pub write_to: usize,
    /// Set when both copies are valid and equal: then no damage to one of them changes the owner.
    pub settled: bool,
}

impl Loaded {
    /// Encodes `owner` as the next copy. Write it at the returned offset of BOOTSTATE, flush, load, and repeat until
    /// [`settled`](Self::settled).
    pub fn next(&self, owner: &Owner) -> (u64, Vec<u8>) {
        let bytes = encode(self.generation.wrapping_add(1), owner);
        (OFFSETS[self.write_to], bytes)
    }
}

/// Combines the two copies; one that cannot be read is `None`, and counts as damaged.
///
/// The newer valid one wins. Without a valid one, a blank copy means that the first change was never finished: such a node
/// has no owner. Two damaged copies were once written, so the node has an owner: in doubt it stays locked.
pub fn load(copies: [Option<&[u8]>; 2]) -> Loaded {
    let [first, second] = copies.map(|copy| copy.map_or(Err(DecodeError::Damaged), decode));
    let alone = |(generation, owner), write_to| Loaded {
        owner,
        generation,
        write_to,
        settled: false,
    };
    match (first, second) {
        (Ok(first), Ok(second)) => {
            let settled = first.1 == second.1;
            let (newer, write_to) = if newer_or_same(first.0, second.0) {
                (first, 1)
            } else {
                (second, 0)
            };
            Loaded {
                settled,
                ..alone(newer, write_to)
            }
        }
        (Ok(first), Err(_)) => alone(first, 1),
        (Err(_), Ok(second)) => alone(second, 0),
        (Err(DecodeError::Damaged), Err(DecodeError::Damaged)) => alone((0, Owner::Unknown), 0),
        // The damaged copy goes first: until then, the blank one distinguishes the two cases.
        (first, Err(_)) => {
            let write_to = usize::from(first == Err(DecodeError::Blank));
            alone((0, Owner::Nobody), write_to)
        }
    }
}

/// Compares generations so that the count may wrap: the copies are never more than one write apart.
fn newer_or_same(first: u64, second: u64) -> bool {
    first.wrapping_sub(second) < u64::MAX / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    fn owned() -> Owner {
        Owner::of(PEM)
    }

    fn says(first: &[u8], second: &[u8]) -> Owner {
        load([Some(first), Some(second)]).owner
    }

    #[test]
    fn records_round_trip() {
        for owner in [Owner::Nobody, Owner::Unknown, owned()] {
            assert_eq!(decode(&encode(7, &owner)), Ok((7, owner)));
        }
        assert_eq!(Owner::of(&"x".repeat(AUTHORITIES_MAX + 1)), Owner::Unknown);
        assert_eq!(Owner::of(""), Owner::Unknown);
    }

    #[test]
    fn the_copies_do_not_overlap_each_other_or_anything_else() {
        let area = AREA as u64;
        assert!(OFFSETS[0] + area <= 256 * 1024 && OFFSETS[1] + area <= 768 * 1024);
        assert!(OFFSETS[0] >= 64 * 1024 + 128 * 1024 && OFFSETS[1] - OFFSETS[0] == 512 * 1024);
    }

    #[test]
    fn what_the_copies_say_together() {
        let blank = alloc::vec![0; AREA];
        let noise = alloc::vec![7; AREA];
        let nobody = |generation| encode(generation, &Owner::Nobody);
        let ours = |generation| encode(generation, &owned());
        for (first, second, expected) in [
            (&blank, &blank, Owner::Nobody),
            // The first write of all was interrupted: no config was accepted yet that is not found itself.
            (&noise, &blank, Owner::Nobody),
            (&blank, &noise, Owner::Nobody),
            (&noise, &nobody(1), Owner::Nobody),
            // One copy is lost in some way: the other one counts.
            (&noise, &ours(2), owned()),
            (&ours(2), &blank, owned()),
            (&noise, &noise, Owner::Unknown),
            // Between the two writes of a change.
            (&ours(3), &nobody(2), owned()),
            (&ours(3), &nobody(4), Owner::Nobody),
            (&nobody(0), &ours(u64::MAX), Owner::Nobody),
        ] {
            assert_eq!(says(first, second), expected);
        }
        assert_eq!(
            load([None, Some(&blank)]).owner,
            Owner::Nobody,
            "as one that is torn"
        );
        assert_eq!(load([None, None]).owner, Owner::Unknown);
    }

    #[test]
    fn both_copies_are_written_before_it_is_settled() {
        let mut copies = [alloc::vec![0; AREA], alloc::vec![0; AREA]];
        for owner in [owned(), Owner::Nobody, Owner::of("another"), Owner::Unknown] {
            let mut writes = 0;
            loop {
                let loaded = load([Some(&copies[0]), Some(&copies[1])]);
                if loaded.settled && loaded.owner == owner {
                    break;
                }
                let (offset, bytes) = loaded.next(&owner);
                copies[usize::from(offset == OFFSETS[1])] = bytes;
                writes += 1;
            }
            assert_eq!(writes, 2);
        }
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_noticed(byte in 0..HEADER + PEM.len(), bit in 0..8) {
            let mut bytes = encode(5, &owned());
            bytes[byte] ^= 1u8 << bit;
            prop_assert_eq!(decode(&bytes), Err(DecodeError::Damaged));
            // And the other copy still has it.
            let sound = encode(4, &owned());
            prop_assert_eq!(says(&bytes, &sound), owned());
        }

        #[test]
        fn garbage_never_panics_and_never_owns(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut area = MAGIC.to_vec();
            area.extend_from_slice(&bytes);
            prop_assert_eq!(decode(&area), Err(DecodeError::Damaged));
            area.resize(AREA, 0);
            prop_assert_eq!(decode(&area), Err(DecodeError::Damaged));
            prop_assert!(!matches!(decode(&bytes), Ok((_, Owner::Authorities(_)))));
        }
    }
}
