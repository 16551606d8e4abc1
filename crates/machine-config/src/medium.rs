//! The frame of a machine config on the CONFIG partition.
//!
//! `"BPCONFIG"`, version (u32 LE, 1), length of the document (u32 LE), SHA-256 of the document, document. A medium
//! that starts with zeros holds none. The hash detects torn writes; it is not a signature.

use sha2::{Digest, Sha256};

/// The most bytes a frame can have: reading this many is always enough.
pub const MAX: usize = HEADER + crate::LIMIT;

const HEADER: usize = 48;
const MAGIC: &[u8; 8] = b"BPCONFIG";
const VERSION: u32 = 1;

/// Why a medium does not hold a machine config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediumError {
    /// The document is longer than a medium may hold.
    #[error("the machine config has {0} bytes; at most {limit} are allowed", limit = crate::LIMIT)]
    TooLong(usize),
    /// The medium starts with other data.
    #[error("CONFIG holds neither a machine config nor zeros; flash the medium again")]
    Foreign,
    /// The frame has a newer version.
    #[error("CONFIG is of format {0}, and only format 1 is supported; flash with the tool of this release")]
    Version(u32),
    /// The frame ends before its document does.
    #[error("CONFIG is cut short: {have} of {need} bytes")]
    Short {
        /// The number of bytes that the frame needs.
        need: usize,
        /// The number of bytes there are.
        have: usize,
    },
    /// The checksum does not match.
    #[error("CONFIG is damaged: its checksum does not match; flash the medium again")]
    Damaged,
    /// The document is not text.
    #[error("the machine config on CONFIG is not UTF-8 text")]
    NotText,
}

/// Frames a document.
pub fn encode(yaml: &str) -> Result<Vec<u8>, MediumError> {
    let length = u32::try_from(yaml.len())
        .ok()
        .filter(|_| yaml.len() <= crate::LIMIT);
    let length = length.ok_or(MediumError::TooLong(yaml.len()))?;
    let mut frame = Vec::with_capacity(HEADER + yaml.len());
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&Sha256::digest(yaml.as_bytes()));
    frame.extend_from_slice(yaml.as_bytes());
    Ok(frame)
}

/// Reads the document from the first bytes of a medium; `None` when it holds none. Further bytes are ignored.
pub fn decode(bytes: &[u8]) -> Result<Option<String>, MediumError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(MediumError::Short {
            need: HEADER,
            have: bytes.len(),
        });
    };
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if !header.starts_with(MAGIC) {
        return Err(MediumError::Foreign);
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(8) != VERSION {
        return Err(MediumError::Version(number(8)));
    }
    let length = number(12) as usize;
    if length > crate::LIMIT {
        return Err(MediumError::TooLong(length));
    }
    let short = MediumError::Short {
        need: HEADER + length,
        have: bytes.len(),
    };
    let document = body.get(..length).ok_or(short)?;
    if Sha256::digest(document)[..] != header[16..HEADER] {
        return Err(MediumError::Damaged);
    }
    let text = std::str::from_utf8(document).map_err(|_| MediumError::NotText)?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_are_not_a_config() {
        assert_eq!(decode(&[0; 4096]), Ok(None));
    }

    #[test]
    fn every_error_is_distinguished() {
        let frame = encode("kind: MachineConfig\n").unwrap();
        let damaged = [&frame[..60], b"x", &frame[61..]].concat();
        let future = [&frame[..8], &2_u32.to_le_bytes(), &frame[12..]].concat();
        assert_eq!(decode(&damaged), Err(MediumError::Damaged));
        assert_eq!(decode(&future), Err(MediumError::Version(2)));
        assert_eq!(
            decode(&frame[..50]),
            Err(MediumError::Short { need: 68, have: 50 })
        );
        assert_eq!(decode(&frame[..7]), Err(MediumError::Short { need: 48, have: 7 }));
        assert_eq!(
            decode(b"EFI PART and whatever else stands on a disk that is not ours"),
            Err(MediumError::Foreign)
        );
        assert_eq!(
            encode(&"x".repeat(crate::LIMIT + 1)),
            Err(MediumError::TooLong(crate::LIMIT + 1))
        );
    }

    proptest! {
        #[test]
        fn a_config_is_read_whatever_follows(text in ".{0,200}", rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut medium = encode(&text).unwrap();
            medium.extend_from_slice(&rest);
            prop_assert_eq!(decode(&medium), Ok(Some(text)));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let framed = [&MAGIC[..], &1_u32.to_le_bytes(), &bytes].concat();
            prop_assert!(!matches!(decode(&bytes), Ok(Some(_))));
            prop_assert!(!matches!(decode(&framed), Ok(Some(_))));
        }
    }
}
