//! The one way from bytes off a medium to a manifest that may be acted upon.

use core::ops::Deref;

use crate::minisign::signer;
use crate::{Digest, MAX_JSON, Manifest, ParseError, SignatureError, TrustedKey};

/// Proves that a manifest was signed by a trusted key and is within all limits.
///
/// What it does not prove: that it is for this board, new enough, or that the slot's bytes match it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedManifest {
    manifest: Manifest,
    id: Digest,
    signer: TrustedKey,
}

impl VerifiedManifest {
    /// Returns the hash of the signed JSON: names this very release, and tells the kernel which manifest was checked.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Returns the key whose signature held.
    pub fn signer(&self) -> TrustedKey {
        self.signer
    }

    /// Returns up the proof and keeps the manifest.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }
}

impl Deref for VerifiedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

/// The reason why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No signature of a trusted key holds.
    #[error("manifest is not to be trusted")]
    Signature(#[from] SignatureError),
    /// Signed, but not sound: a fault of the builder, or a newer format.
    #[error("manifest is signed, but cannot be used")]
    Parse(#[from] ParseError),
}

/// Checks signatures, then parses: unsigned bytes never reach the JSON parser.
///
/// One signature by one of `keys` is enough; blocks by other keys are passed over.
pub fn verify(json: &[u8], signatures: &[u8], keys: &[TrustedKey]) -> Result<VerifiedManifest, VerifyError> {
    if json.len() > MAX_JSON {
        return Err(ParseError::TooLong { len: json.len() }.into());
    }
    let signer = signer(json, signatures, keys)?;
    let manifest = Manifest::parse_unverified(json)?;
    Ok(VerifiedManifest {
        manifest,
        id: Digest::of(json),
        signer,
    })
}
