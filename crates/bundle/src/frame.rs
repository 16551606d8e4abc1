//! One entry of the index.

use std::io;

use manifest::{Digest, ImageName};

use crate::codes::Codes;

/// Bytes of an index entry.
pub const ENTRY_LEN: usize = 72;

/// How a frame is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not stored: its bytes are zero.
    Zero,
    /// As one zstd frame.
    Zstd,
    /// Uncompressed.
    Raw,
}

/// A piece of an image, and where in the bundle it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The image it belongs to.
    pub image: ImageName,
    /// How it is stored.
    pub codec: Codec,
    /// Its uncompressed length.
    pub raw_len: u32,
    /// Its offset in the image.
    pub raw_offset: u64,
    /// Its offset in the bundle; zero when it is not stored.
    pub file_offset: u64,
    /// Its length in the bundle.
    pub stored_len: u32,
    /// The hash of its uncompressed bytes.
    pub sha256: Digest,
}

/// Why a frame cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The compressed bytes are damaged.
    #[error("its compressed bytes are damaged")]
    Packed(#[source] io::Error),
    /// The decompressed bytes are not those that the index covers.
    #[error("its hash does not match the signed index")]
    Hash,
    /// A patch that does not have the form that this format requires.
    #[error("it is not a patch of this format: {0}")]
    Patch(&'static str),
}

impl Frame {
    /// Returns the first byte of the image after the frame.
    pub fn raw_end(&self) -> u64 {
        self.raw_offset.saturating_add(u64::from(self.raw_len))
    }

    /// Writes the entry, with the number that stands for the image.
    pub(crate) fn encode(&self, code: u8) -> [u8; ENTRY_LEN] {
        let mut entry = [0; ENTRY_LEN];
        entry[0] = code;
        entry[1] = match self.codec {
            Codec::Zero => 0,
            Codec::Zstd => 1,
            Codec::Raw => 2,
        };
        entry[4..8].copy_from_slice(&self.raw_len.to_le_bytes());
        entry[8..16].copy_from_slice(&self.raw_offset.to_le_bytes());
        entry[16..24].copy_from_slice(&self.file_offset.to_le_bytes());
        entry[24..28].copy_from_slice(&self.stored_len.to_le_bytes());
        entry[32..64].copy_from_slice(&self.sha256.0);
        entry
    }

    /// Reads an entry, or returns `None` when a code is unknown or a reserved byte is not zero.
    pub(crate) fn decode(entry: &[u8; ENTRY_LEN], codes: &Codes) -> Option<Self> {
        let image = codes.image(entry[0])?;
        let codec = match entry[1] {
            0 => Codec::Zero,
            1 => Codec::Zstd,
            2 => Codec::Raw,
            _ => return None,
        };
        let reserved = [&entry[2..4], &entry[28..32], &entry[64..72]];
        if reserved.into_iter().flatten().any(|byte| *byte != 0) {
            return None;
        }
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| entry[at + i]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| entry[at + i]));
        Some(Self {
            image,
            codec,
            raw_len: short(4),
            raw_offset: long(8),
            file_offset: long(16),
            stored_len: short(24),
            sha256: Digest(std::array::from_fn(|i| entry[32 + i])),
        })
    }
}
