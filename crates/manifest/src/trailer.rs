//! Where the manifest lies: the last 64 KiB of a slot partition.
//!
//! `BPMANIF1`, two lengths, the JSON, the signatures, zeros. It is written last, so that a slot whose writing was cut
//! short has no trailer and is empty.

use alloc::vec;
use alloc::vec::Vec;

use crate::MAX_JSON;

/// Length of the trailer, at the very end of the partition.
pub const AREA: usize = 64 * 1024;

const MAGIC: [u8; 8] = *b"BPMANIF1";
const HEADER: usize = 16;

/// Longest signatures that a trailer holds.
pub const MAX_SIGNATURES_LEN: usize = AREA - HEADER - MAX_JSON;

/// The two texts of a trailer. They are not verified yet: see [`crate::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer<'a> {
    /// The manifest's JSON.
    pub json: &'a [u8],
    /// Signatures of it, in minisign's format.
    pub signatures: &'a [u8],
}

/// The reason why there is no trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrailerError {
    /// The partition holds no manifest: an empty slot.
    #[error("slot has no manifest")]
    Missing,
    /// Fewer bytes than a trailer has.
    #[error("slot trailer has {len} bytes of {AREA}")]
    Short {
        /// Bytes that were given.
        len: usize,
    },
    /// A text is longer than its part of the trailer.
    #[error("slot trailer: {what} of {len} bytes is more than {max}")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The longest that is allowed.
        max: usize,
    },
}

/// Lays out a trailer.
pub fn encode(json: &[u8], signatures: &[u8]) -> Result<Vec<u8>, TrailerError> {
    check(json.len(), signatures.len())?;
    let mut area = vec![0; AREA];
    area[..8].copy_from_slice(&MAGIC);
    area[8..12].copy_from_slice(&(json.len() as u32).to_le_bytes());
    area[12..16].copy_from_slice(&(signatures.len() as u32).to_le_bytes());
    let (texts, end) = (&mut area[HEADER..], json.len());
    texts[..end].copy_from_slice(json);
    texts[end..end + signatures.len()].copy_from_slice(signatures);
    Ok(area)
}

/// Finds the two texts of a trailer.
pub fn decode(area: &[u8]) -> Result<Trailer<'_>, TrailerError> {
    let Some(area) = area.first_chunk::<AREA>() else {
        return Err(TrailerError::Short { len: area.len() });
    };
    if area[..8] != MAGIC {
        return Err(TrailerError::Missing);
    }
    let length =
        |at: usize| u32::from_le_bytes([area[at], area[at + 1], area[at + 2], area[at + 3]]) as usize;
    let (json, signatures) = (length(8), length(12));
    check(json, signatures)?;
    let texts = &area[HEADER..];
    Ok(Trailer {
        json: &texts[..json],
        signatures: &texts[json..json + signatures],
    })
}

fn check(json: usize, signatures: usize) -> Result<(), TrailerError> {
    for (what, len, max) in [
        ("manifest", json, MAX_JSON),
        ("signatures", signatures, MAX_SIGNATURES_LEN),
    ] {
        if len > max {
            return Err(TrailerError::TooLong { what, len, max });
        }
    }
    Ok(())
}
