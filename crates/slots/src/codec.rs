//! The record's bytes, and how two copies of it become one record.

use crate::{Reason, Record, Slot, SlotState, Version};

/// Length of one copy.
pub const RECORD_LEN: usize = 512;

/// The offsets of the two copies in the BOOTSTATE partition, far enough apart to be in separate erase blocks.
pub const COPY_OFFSETS: [u64; 2] = [0, 512 * 1024];

const MAGIC: [u8; 8] = *b"BPSLOTS1";
const FORMAT: u32 = 1;

// Byte offsets inside a copy; docs/bootloader.md holds the same table for readers.
const AT_FORMAT: usize = 8;
const AT_GENERATION: usize = 16;
const AT_SLOTS: [usize; 2] = [24, 28];
const AT_PREFERRED: usize = 32;
const AT_FLOOR: usize = 36;
const AT_CRC: usize = RECORD_LEN - 4;

/// The reason why bytes are not a slot record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than a copy has.
    #[error("slot record has {len} bytes of {RECORD_LEN}")]
    Short {
        /// Bytes that were given.
        len: usize,
    },
    /// Something else, or nothing, is there.
    #[error("no slot record here: its magic is missing")]
    Magic,
    /// The copy is torn or damaged.
    #[error("slot record is damaged: checksum {found:08x}, expected {expected:08x}")]
    Checksum {
        /// The sum over the bytes.
        found: u32,
        /// The sum that the bytes state.
        expected: u32,
    },
    /// Written by a newer release.
    #[error("slot record has format {found}; this release knows format {FORMAT}")]
    Format {
        /// The format that the bytes state.
        found: u32,
    },
    /// The checksum holds, but a field has a value with no meaning.
    #[error("slot record has an impossible {field}")]
    Field {
        /// The field's name.
        field: &'static str,
    },
}

/// Lays out one copy of a record.
pub fn encode(generation: u64, record: &Record) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    put(&mut bytes, AT_FORMAT, FORMAT.to_le_bytes());
    put(&mut bytes, AT_GENERATION, generation.to_le_bytes());
    for (at, state) in AT_SLOTS.into_iter().zip(record.slots) {
        let (kind, argument) = match state {
            SlotState::Empty => (0, 0),
            SlotState::Trial { tries } => (1, tries),
            SlotState::Committed => (2, 0),
            SlotState::Bad(reason) => (3, reason.code()),
        };
        put(&mut bytes, at, [kind, argument]);
    }
    bytes[AT_PREFERRED] = record.preferred.index() as u8;
    let floor = [record.floor.major, record.floor.minor, record.floor.patch];
    for (index, number) in floor.into_iter().enumerate() {
        put(&mut bytes, AT_FLOOR + 2 * index, number.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[..AT_CRC]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    bytes
}

/// Reads one copy of a record, and its generation.
///
/// Only bytes that [`encode`] makes are taken; bytes after the first [`RECORD_LEN`] do not matter.
pub fn decode(bytes: &[u8]) -> Result<(u64, Record), DecodeError> {
    let Some(bytes) = bytes.first_chunk::<RECORD_LEN>() else {
        return Err(DecodeError::Short { len: bytes.len() });
    };
    if bytes[..8] != MAGIC {
        return Err(DecodeError::Magic);
    }
    let found = crc32fast::hash(&bytes[..AT_CRC]);
    let expected = u32::from_le_bytes(take(bytes, AT_CRC));
    if found != expected {
        return Err(DecodeError::Checksum { found, expected });
    }
    let format = u32::from_le_bytes(take(bytes, AT_FORMAT));
    if format != FORMAT {
        return Err(DecodeError::Format { found: format });
    }
    let generation = u64::from_le_bytes(take(bytes, AT_GENERATION));
    let number = |index: usize| u16::from_le_bytes(take(bytes, AT_FLOOR + 2 * index));
    let record = Record {
        slots: [state(take(bytes, AT_SLOTS[0]))?, state(take(bytes, AT_SLOTS[1]))?],
        preferred: match bytes[AT_PREFERRED] {
            0 => Slot::A,
            1 => Slot::B,
            _ => {
                return Err(DecodeError::Field {
                    field: "preferred slot",
                });
            }
        },
        floor: Version::new(number(0), number(1), number(2)),
    };
    // One record, one form: whatever this release cannot write, it does not pretend to understand.
    if encode(generation, &record) != *bytes {
        return Err(DecodeError::Field {
            field: "reserved byte",
        });
    }
    Ok((generation, record))
}

fn state([kind, argument]: [u8; 2]) -> Result<SlotState, DecodeError> {
    match (kind, argument) {
        (0, 0) => Ok(SlotState::Empty),
        (1, tries) => Ok(SlotState::Trial { tries }),
        (2, 0) => Ok(SlotState::Committed),
        (3, code) => Ok(SlotState::Bad(Reason::from_code(code))),
        _ => Err(DecodeError::Field { field: "slot state" }),
    }
}

pub(crate) fn put<const N: usize>(bytes: &mut [u8; RECORD_LEN], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

pub(crate) fn take<const N: usize>(bytes: &[u8; RECORD_LEN], at: usize) -> [u8; N] {
    core::array::from_fn(|index| bytes[at + index])
}

/// The content of both copies together, and the place of the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The newer valid copy; `None` when neither is valid.
    pub record: Option<Record>,
    /// That copy's generation, or 0.
    pub generation: u64,
    /// Index into [`COPY_OFFSETS`] of the copy to overwrite next: the invalid or older one.
    pub write_to: usize,
}

impl Loaded {
    /// Lays out `record` as the next copy. Write it at the returned offset of BOOTSTATE and flush.
    pub fn next(&self, record: &Record) -> (u64, [u8; RECORD_LEN]) {
        (
            COPY_OFFSETS[self.write_to],
            encode(self.generation.wrapping_add(1), record),
        )
    }

    /// Returns what [`load`] will say once `record` has been written.
    pub const fn written(self, record: Record) -> Loaded {
        Loaded {
            record: Some(record),
            generation: self.generation.wrapping_add(1),
            write_to: 1 - self.write_to,
        }
    }
}

/// Joins the two copies: the newer valid one counts.
pub fn load(copy0: &[u8], copy1: &[u8]) -> Loaded {
    match (decode(copy0), decode(copy1)) {
        (Ok((first, record)), Ok((second, _))) if newer_or_same(first, second) => Loaded {
            record: Some(record),
            generation: first,
            write_to: 1,
        },
        (Ok((generation, record)), Err(_)) => Loaded {
            record: Some(record),
            generation,
            write_to: 1,
        },
        (_, Ok((generation, record))) => Loaded {
            record: Some(record),
            generation,
            write_to: 0,
        },
        (Err(_), Err(_)) => Loaded {
            record: None,
            generation: 0,
            write_to: 0,
        },
    }
}

/// Orders generations so that the count may wrap: the copies are never more than one write apart.
fn newer_or_same(first: u64, second: u64) -> bool {
    first.wrapping_sub(second) < u64::MAX / 2
}

#[cfg(test)]
mod tests;
