//! What a slot's trailer proves.

use manifest::trailer::{self, TrailerError};
use manifest::{Arch, ParseError, SignatureError, TrustedKey, VerifiedManifest, VerifyError};
use slots::Reason;

/// The requirements for a slot to be started here.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The keys, one of which must have signed the manifest.
    pub keys: &'a [TrustedKey],
    /// The architecture of this machine.
    pub arch: Arch,
    /// Length of the slot's partition.
    pub partition_len: u64,
}

/// Why a slot is not started.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no manifest.
    #[error(transparent)]
    Trailer(#[from] TrailerError),
    /// The manifest is invalid, or cannot be trusted.
    #[error(transparent)]
    Manifest(#[from] VerifyError),
    /// The programs in the slot are for another architecture.
    #[error("slot is for {found}")]
    Arch {
        /// The architecture of the slot.
        found: Arch,
    },
    /// The slot image is larger than the partition.
    #[error("slot image of {size} bytes is larger than its partition")]
    TooLarge {
        /// Length of the slot image.
        size: u64,
    },
}

impl Refusal {
    /// Returns the reason for the slot record and the console.
    pub fn reason(&self) -> Reason {
        match self {
            Refusal::Trailer(TrailerError::Missing) => Reason::ManifestMissing,
            Refusal::Trailer(TrailerError::Short { .. }) => Reason::ReadFailed,
            Refusal::Trailer(TrailerError::TooLong { .. }) => Reason::ManifestMalformed,
            Refusal::Manifest(VerifyError::Signature(error)) => match error {
                SignatureError::UnknownKey => Reason::UnknownKey,
                SignatureError::Mismatch { .. } => Reason::SignatureInvalid,
                SignatureError::Malformed | SignatureError::Legacy | SignatureError::TooMany => {
                    Reason::SignatureMalformed
                }
            },
            Refusal::Manifest(VerifyError::Parse(
                ParseError::TooLong { .. } | ParseError::Json(_) | ParseError::Unsound(_),
            )) => Reason::ManifestMalformed,
            Refusal::Arch { .. } => Reason::WrongArch,
            Refusal::TooLarge { .. } => Reason::TooLarge,
        }
    }
}

/// Checks the trailer of a slot. The content of the parts is not read: their hashes are checked when they are loaded.
pub fn examine(area: &[u8], expected: &Expected<'_>) -> Result<VerifiedManifest, Refusal> {
    let found = trailer::decode(area)?;
    let manifest = manifest::verify(found.json, found.signatures, expected.keys)?;
    if manifest.arch != expected.arch {
        return Err(Refusal::Arch { found: manifest.arch });
    }
    let room = expected.partition_len.saturating_sub(trailer::AREA as u64);
    if manifest.slot.size > room {
        return Err(Refusal::TooLarge {
            size: manifest.slot.size,
        });
    }
    Ok(manifest)
}
