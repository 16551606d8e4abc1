//! The start mark: how a kernel recognizes the disk that its loader came from when another one is its copy.
//!
//! Two disks of which one is a copy share every GUID. A loader that sees both writes a number into BOOTSTATE of its own
//! disk that the other does not have, and passes it to the kernel. Without a copy nothing is written.

use crate::codec::{put, take};

/// Length of the mark.
pub const START_MARK_LEN: usize = 512;

/// Where the mark lies in BOOTSTATE: once, since the number is only good for the start that wrote it.
pub const START_MARK_OFFSET: u64 = 448 * 1024;

const MAGIC: [u8; 8] = *b"BPSTART1";
const AT_NUMBER: usize = 8;
const AT_CRC: usize = START_MARK_LEN - 4;

/// Lays out the mark with this number.
pub fn encode(number: u64) -> [u8; START_MARK_LEN] {
    let mut bytes = [0; START_MARK_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    put(&mut bytes, AT_NUMBER, number.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..AT_CRC]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    bytes
}

/// Returns the number of the mark; `None` when there is no mark, or it is damaged.
pub fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.first_chunk::<START_MARK_LEN>()?;
    let number = u64::from_le_bytes(take(bytes, AT_NUMBER));
    (encode(number) == *bytes).then_some(number)
}

/// Returns a number that none of these disks has.
pub fn next(found: impl IntoIterator<Item = Option<u64>>) -> u64 {
    // A disk without a mark counts as zero, which is never given out. The count does not wrap in the life of a machine.
    found.into_iter().flatten().max().unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written() {
        for number in [1, 7, u64::MAX] {
            assert_eq!(decode(&encode(number)), Some(number));
        }
    }

    #[test]
    fn the_next_number_is_on_no_disk() {
        assert_eq!(next([None, None]), 1);
        assert_eq!(next([Some(4), None, Some(9)]), 10);
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(number: u64, at in 0..START_MARK_LEN * 8) {
            let mut bytes = encode(number);
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&bytes);
        }
    }
}
