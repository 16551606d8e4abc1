//! The keys that bundles must be signed with.

use std::path::{Path, PathBuf};

use manifest::{KeyError, TrustedKey};

/// The longest public key file.
const LIMIT: usize = 16 * 1024;

/// Why there is no key to verify signatures with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No key was given.
    #[error(
        "no trusted key: give the public key of whoever signed the bundle with --key FILE.pub; \
         `bedplate-image keys new` makes a pair for images of your own"
    )]
    None,
    /// A file cannot be read.
    #[error("cannot read the key {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: text::LoadError,
    },
    /// A file is not a public key.
    #[error("{} cannot be used", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// Reads minisign's public key files; at least one must be given.
pub fn load(paths: &[PathBuf]) -> Result<Vec<TrustedKey>, KeysError> {
    if paths.is_empty() {
        return Err(KeysError::None);
    }
    paths.iter().map(|path| load_one(path)).collect()
}

fn load_one(path: &Path) -> Result<TrustedKey, KeysError> {
    let text = text::load(path, LIMIT).map_err(|source| KeysError::Read {
        path: path.into(),
        source,
    })?;
    TrustedKey::parse(&text).map_err(|source| KeysError::Key {
        path: path.into(),
        source,
    })
}
