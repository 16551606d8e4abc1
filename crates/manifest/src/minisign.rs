//! minisign's texts: public keys and signatures.
//!
//! Only what current minisign writes: Ed25519 over the BLAKE2b-512 hash of the file ("ED"). The older "Ed" form, which
//! signs the file itself, is refused: one form is enough, and the hashed one can be checked as a stream.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str;

use base64ct::{Base64, Encoding};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signature as Ed25519, VerifyingKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most signatures that are looked at.
pub const MAX_SIGNATURES: usize = 8;

const KEY_ALGORITHM: [u8; 2] = *b"Ed";
const PREHASHED: [u8; 2] = *b"ED";
const LEGACY: [u8; 2] = *b"Ed";
const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// A public key that signatures are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrustedKey {
    /// minisign's id of the key: finds the key for a signature, and proves nothing.
    pub id: [u8; 8],
    /// The Ed25519 public key.
    pub key: [u8; 32],
}

/// The reason why a text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the shape that minisign writes.
    #[error("not a minisign public key: expected the text of a .pub file, or its line that starts with RW")]
    Malformed,
    /// The right shape, but no key that a signature could be trusted by.
    #[error("not an Ed25519 public key: minisign may have written another kind, or the text is damaged")]
    Unusable,
}

impl TrustedKey {
    /// Reads a public key: minisign's `.pub` file, or only the line that `minisign -P` takes.
    pub fn parse(text: &str) -> Result<TrustedKey, KeyError> {
        let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        let mut line = lines.next().ok_or(KeyError::Malformed)?;
        if line.starts_with(UNTRUSTED) {
            line = lines.next().ok_or(KeyError::Malformed)?;
        }
        if lines.next().is_some() {
            return Err(KeyError::Malformed);
        }
        let bytes: [u8; 42] = decode_base64(line).ok_or(KeyError::Malformed)?;
        let (algorithm, id, key) = (part(&bytes, 0), part(&bytes, 2), part(&bytes, 10));
        let usable = VerifyingKey::from_bytes(&key).is_ok_and(|key| !key.is_weak());
        if algorithm != KEY_ALGORITHM || !usable {
            return Err(KeyError::Unusable);
        }
        Ok(TrustedKey { id, key })
    }

    /// Writes the line that `minisign -P` takes.
    pub fn to_line(&self) -> String {
        let mut bytes = [0; 42];
        bytes[..2].copy_from_slice(&KEY_ALGORITHM);
        bytes[2..10].copy_from_slice(&self.id);
        bytes[10..].copy_from_slice(&self.key);
        let mut line = [0; 56];
        Base64::encode(&bytes, &mut line)
            .expect("42 bytes are 56 of base64")
            .into()
    }
}

impl Serialize for TrustedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_line())
    }
}

impl<'de> Deserialize<'de> for TrustedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = String::deserialize(deserializer)?;
        TrustedKey::parse(&line).map_err(D::Error::custom)
    }
}

/// Writes the key's id as minisign shows it.
impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.id))
    }
}

/// The reason why no signature of a text is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not the shape that minisign writes.
    #[error("signature is malformed: expected minisign's four lines per signature")]
    Malformed,
    /// The form that signs the file itself.
    #[error("signature has minisign's old form; sign again with minisign 0.10 or newer, without -l")]
    Legacy,
    /// More blocks than are looked at.
    #[error("more than {MAX_SIGNATURES} signatures")]
    TooMany,
    /// No key of ours made any of them.
    #[error("signed by no trusted key")]
    UnknownKey,
    /// A key of ours should have made it, but it is for other bytes.
    #[error("signature by key {key} does not match")]
    Mismatch {
        /// The key that the signature names.
        key: TrustedKey,
    },
}

/// One signature block, decoded.
struct Block<'a> {
    key_id: [u8; 8],
    signature: [u8; 64],
    trusted_comment: &'a str,
    global: [u8; 64],
}

/// Finds the trusted key that signed a text of another kind than a manifest: the first whose signature holds.
///
/// What the text says is for the caller to check: a key signs texts of several kinds, and each must say which it is.
pub fn verify_text(
    text: &[u8],
    signatures: &[u8],
    keys: &[TrustedKey],
) -> Result<TrustedKey, SignatureError> {
    signer(text, signatures, keys)
}

/// Finds the trusted key that signed `message`: the first whose signature holds.
pub(crate) fn signer(
    message: &[u8],
    signatures: &[u8],
    keys: &[TrustedKey],
) -> Result<TrustedKey, SignatureError> {
    let hash = Blake2b512::digest(message);
    let mut failure = SignatureError::UnknownKey;
    for block in blocks(signatures)? {
        // Two keys may share an id, by accident or by design of an attacker: the id only narrows the search.
        for key in keys.iter().filter(|key| key.id == block.key_id) {
            if block.holds(&hash, key) {
                return Ok(*key);
            }
            failure = SignatureError::Mismatch { key: *key };
        }
    }
    Err(failure)
}

fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, SignatureError> {
    let text = str::from_utf8(text).map_err(|_| SignatureError::Malformed)?;
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while let Some(comment) = lines.next() {
        if blocks.len() == MAX_SIGNATURES {
            return Err(SignatureError::TooMany);
        }
        if !comment.starts_with(UNTRUSTED) {
            return Err(SignatureError::Malformed);
        }
        blocks.push(block(&mut lines)?);
    }
    if blocks.is_empty() {
        Err(SignatureError::Malformed)
    } else {
        Ok(blocks)
    }
}

/// Reads the three lines behind a block's untrusted comment.
fn block<'a>(lines: &mut str::Lines<'a>) -> Result<Block<'a>, SignatureError> {
    let mut next = || lines.next().ok_or(SignatureError::Malformed);
    let bytes: [u8; 74] = decode_base64(next()?).ok_or(SignatureError::Malformed)?;
    let trusted_comment = next()?.strip_prefix(TRUSTED).ok_or(SignatureError::Malformed)?;
    let global = decode_base64(next()?).ok_or(SignatureError::Malformed)?;
    match part(&bytes, 0) {
        PREHASHED => Ok(Block {
            key_id: part(&bytes, 2),
            signature: part(&bytes, 10),
            trusted_comment,
            global,
        }),
        LEGACY => Err(SignatureError::Legacy),
        _ => Err(SignatureError::Malformed),
    }
}

impl Block<'_> {
    /// Checks both signatures: the one over the hash, and the one over the first and the trusted comment.
    fn holds(&self, hash: &[u8], key: &TrustedKey) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&key.key) else {
            return false;
        };
        let mut global = Vec::with_capacity(self.signature.len() + self.trusted_comment.len());
        global.extend_from_slice(&self.signature);
        global.extend_from_slice(self.trusted_comment.as_bytes());
        // Strict: no weak keys and no second encoding of a valid signature.
        key.verify_strict(hash, &Ed25519::from_bytes(&self.signature))
            .is_ok()
            && key
                .verify_strict(&global, &Ed25519::from_bytes(&self.global))
                .is_ok()
    }
}

/// Reads exactly `N` bytes of canonical base64.
fn decode_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = Base64::decode(text, &mut bytes).ok()?;
    (decoded.len() == N).then_some(bytes)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|index| bytes[at + index])
}
