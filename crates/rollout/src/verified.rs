//! The only way from untrusted bytes to a rollout that may be acted upon.

use std::ops::Deref;

use manifest::{SignatureError, TrustedKey, verify_text};

use crate::{MAX_LEN, ParseError, Rollout};

/// A rollout that was signed by a trusted key and obeys the rules.
///
/// It may not be the newest version: [`Rollout::follows`] distinguishes an older one from a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRollout {
    rollout: Rollout,
    signer: TrustedKey,
}

/// Why a rollout may not be acted upon.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No signature of a trusted key is valid.
    #[error("the rollout is not to be trusted")]
    Signature(#[from] SignatureError),
    /// It is signed, but invalid.
    #[error("the rollout is signed, but cannot be used")]
    Parse(#[from] ParseError),
}

/// Verifies signatures, then parses: unsigned bytes never reach the JSON parser.
pub fn verify(text: &[u8], signatures: &[u8], keys: &[TrustedKey]) -> Result<VerifiedRollout, VerifyError> {
    if text.len() > MAX_LEN {
        return Err(ParseError::TooLong(text.len()).into());
    }
    let signer = verify_text(text, signatures, keys)?;
    let rollout = Rollout::parse_unverified(text)?;
    Ok(VerifiedRollout { rollout, signer })
}

impl VerifiedRollout {
    /// Returns the key whose signature is valid.
    pub fn signer(&self) -> TrustedKey {
        self.signer
    }
}

impl Deref for VerifiedRollout {
    type Target = Rollout;

    fn deref(&self) -> &Rollout {
        &self.rollout
    }
}
