//! The first 4096 bytes: the file's format, and where its sections are.

use crate::{HEADER_LEN, INDEX_AT, MANIFEST_AT, SIGNATURES_AT, SIGNATURES_MAX};

const MAGIC: [u8; 8] = *b"BEDPLATE";
const FORMAT: u32 = 1;
/// The used bytes of the header; the rest is zero.
const USED: usize = 64;

/// A section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Span {
    /// Returns the first byte after the section.
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// Where the sections of a bundle are.
///
/// A value of this type proves that they are where this format puts them, and have lengths that this format allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The manifest's JSON.
    pub manifest: Span,
    /// Its signatures.
    pub signatures: Span,
    /// The frame index.
    pub index: Span,
}

/// Why bytes are not the header of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A different kind of file.
    #[error("this is not a bundle: it does not start with BEDPLATE")]
    NotABundle,
    /// A bundle of a newer format.
    #[error("this bundle has format {0}, and this program reads format {FORMAT}: use a newer program")]
    Format(u32),
    /// Damaged.
    #[error("the bundle's header is damaged: fetch the file again")]
    Damaged,
    /// A section is at the wrong place or too long.
    #[error("the bundle's {section} is at byte {} and has {} bytes, which this format does not allow", .span.offset, .span.len)]
    Section {
        /// Which section.
        section: &'static str,
        /// Its place and length.
        span: Span,
    },
}

impl Header {
    /// Lays out sections of these lengths.
    pub fn for_lengths(manifest: u64, signatures: u64, index: u64) -> Result<Self, HeaderError> {
        let header = Self {
            manifest: Span {
                offset: MANIFEST_AT,
                len: manifest,
            },
            signatures: Span {
                offset: SIGNATURES_AT,
                len: signatures,
            },
            index: Span {
                offset: INDEX_AT,
                len: index,
            },
        };
        header.check()?;
        Ok(header)
    }

    /// Reads a header.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        if bytes[..8] != MAGIC {
            return Err(HeaderError::NotABundle);
        }
        let format = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if format != FORMAT {
            return Err(HeaderError::Format(format));
        }
        let crc = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        if crc != crc32fast::hash(&bytes[16..USED]) || bytes[USED..].iter().any(|byte| *byte != 0) {
            return Err(HeaderError::Damaged);
        }
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let span = |at: usize| Span {
            offset: number(at),
            len: number(at + 8),
        };
        let header = Self {
            manifest: span(16),
            signatures: span(32),
            index: span(48),
        };
        header.check()?;
        Ok(header)
    }

    /// Writes the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        for (at, span) in [(16, self.manifest), (32, self.signatures), (48, self.index)] {
            bytes[at..at + 8].copy_from_slice(&span.offset.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&span.len.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[16..USED]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn check(&self) -> Result<(), HeaderError> {
        // 1 << 20 frames: what a manifest allows.
        let index_max = (crate::ENTRY_LEN as u64) << 20;
        for (section, span, at, max) in [
            ("manifest", self.manifest, MANIFEST_AT, manifest::MAX_JSON as u64),
            ("signature", self.signatures, SIGNATURES_AT, SIGNATURES_MAX as u64),
            ("index", self.index, INDEX_AT, index_max),
        ] {
            if span.offset != at || span.len > max {
                return Err(HeaderError::Section { section, span });
            }
        }
        Ok(())
    }
}
