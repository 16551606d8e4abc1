//! The keys that a loader trusts, as they lie in its PE section `.bpkeys`.
//!
//! The section is 1024 bytes and compiled in empty; the image builder overwrites it. `BPKEYS01`, a count, then per key
//! minisign's 8 bytes of id and the 32 of the Ed25519 key, then zeros.

use alloc::vec::Vec;

use crate::TrustedKey;

/// Length of the section.
pub const LEN: usize = 1024;

/// Name of the PE section.
pub const SECTION: &str = ".bpkeys";

/// Most keys that a loader carries.
pub const MAX_KEYS: usize = 16;

/// The section as it is compiled in: valid, and without keys.
pub const EMPTY: [u8; LEN] = {
    let mut bytes = [0; LEN];
    let mut at = 0;
    while at < MAGIC.len() {
        bytes[at] = MAGIC[at];
        at += 1;
    }
    bytes
};

const MAGIC: [u8; 8] = *b"BPKEYS01";
const HEADER: usize = 12;
const ENTRY: usize = 40;

/// The reason why bytes are not a keyring, or keys do not fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Fewer bytes than the section has.
    #[error("keyring has {len} bytes of {LEN}")]
    Short {
        /// Bytes that were given.
        len: usize,
    },
    /// Something else is there.
    #[error("no keyring here: its magic is missing")]
    Magic,
    /// More keys than fit.
    #[error("{count} keys are more than the {MAX_KEYS} that a keyring holds")]
    TooMany {
        /// Keys that were given or stated.
        count: usize,
    },
}

/// Lays out the section for these keys.
pub fn encode(keys: &[TrustedKey]) -> Result<[u8; LEN], KeyringError> {
    if keys.len() > MAX_KEYS {
        return Err(KeyringError::TooMany { count: keys.len() });
    }
    let mut bytes = EMPTY;
    bytes[8..12].copy_from_slice(&(keys.len() as u32).to_le_bytes());
    for (entry, key) in bytes[HEADER..].chunks_exact_mut(ENTRY).zip(keys) {
        entry[..8].copy_from_slice(&key.id);
        entry[8..].copy_from_slice(&key.key);
    }
    Ok(bytes)
}

/// Reads the keys of a section.
pub fn decode(bytes: &[u8]) -> Result<Vec<TrustedKey>, KeyringError> {
    let Some(bytes) = bytes.first_chunk::<LEN>() else {
        return Err(KeyringError::Short { len: bytes.len() });
    };
    if bytes[..8] != MAGIC {
        return Err(KeyringError::Magic);
    }
    let count = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
    if count > MAX_KEYS {
        return Err(KeyringError::TooMany { count });
    }
    let entries = bytes[HEADER..].chunks_exact(ENTRY).take(count);
    let key = |entry: &[u8]| TrustedKey {
        id: core::array::from_fn(|at| entry[at]),
        key: core::array::from_fn(|at| entry[8 + at]),
    };
    Ok(entries.map(key).collect())
}
