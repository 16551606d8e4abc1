//! The start mark: how a kernel recognizes the disk that its loader came from when another one is its copy.
//!
//! Two disks of which one is a copy share every GUID. A loader that sees both writes a number into BOOTSTATE of its own
//! disk that the other does not have, and passes it to the kernel. A firmware may show its loader fewer disks than Linux
//! finds: then Linux writes on both of them that it asks for a mark, and restarts once. Without a copy nothing is written.

use crate::codec::{put, take};

/// Length of the mark.
pub const START_MARK_LEN: usize = 512;

/// The offset of the mark in BOOTSTATE. There is one copy, because the number is valid only for the start that wrote it.
pub const START_MARK_OFFSET: u64 = 448 * 1024;

const MAGIC: [u8; 8] = *b"BPSTART1";
const AT_NUMBER: usize = 8;
const AT_KIND: usize = 16;
const AT_CRC: usize = START_MARK_LEN - 4;

/// The mark on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMark {
    /// The loader was started from this disk, and passed the number on.
    Started(u64),
    /// Linux cannot tell this disk from another, and asks the loader for a mark. The number is the highest so far.
    Asked(u64),
}

impl StartMark {
    /// Returns the number, whatever it is for.
    pub const fn number(self) -> u64 {
        match self {
            StartMark::Started(number) | StartMark::Asked(number) => number,
        }
    }
}

/// Lays out a mark.
pub fn encode(mark: StartMark) -> [u8; START_MARK_LEN] {
    let mut bytes = [0; START_MARK_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    put(&mut bytes, AT_NUMBER, mark.number().to_le_bytes());
    bytes[AT_KIND] = u8::from(matches!(mark, StartMark::Asked(_)));
    let crc = crc32fast::hash(&bytes[..AT_CRC]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    bytes
}

/// Reads a mark; `None` when there is none, or it is damaged.
pub fn decode(bytes: &[u8]) -> Option<StartMark> {
    let bytes = bytes.first_chunk::<START_MARK_LEN>()?;
    let number = u64::from_le_bytes(take(bytes, AT_NUMBER));
    let marks = [StartMark::Started(number), StartMark::Asked(number)];
    marks.into_iter().find(|mark| encode(*mark) == *bytes)
}

/// Returns a number that is on none of the disks with these marks.
pub fn next(found: impl IntoIterator<Item = Option<StartMark>>) -> u64 {
    // A disk without a mark counts as zero, which is never given out. The count does not wrap in the life of a machine.
    let numbers = found.into_iter().flatten().map(StartMark::number);
    numbers.max().unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written() {
        for number in [1, 7, u64::MAX] {
            for mark in [StartMark::Started(number), StartMark::Asked(number)] {
                assert_eq!(decode(&encode(mark)), Some(mark));
            }
        }
    }

    #[test]
    fn the_next_number_is_on_no_disk() {
        assert_eq!(next([None, None]), 1);
        let marks = [StartMark::Started(4), StartMark::Asked(9)];
        assert_eq!(next([Some(marks[0]), None, Some(marks[1])]), 10);
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(number: u64, at in 0..START_MARK_LEN * 8) {
            let mut bytes = encode(StartMark::Asked(number));
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&bytes);
        }
    }
}
