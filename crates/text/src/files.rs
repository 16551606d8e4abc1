//! Reads text from files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::{TextError, decode};

/// Why a file cannot be read as text.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Access(#[from] io::Error),
    /// It is not a text that can be used.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl LoadError {
    /// Returns true if the file does not exist.
    pub fn is_absence(&self) -> bool {
        matches!(self, LoadError::Access(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a file as text; the buffer is wiped when it is dropped, since it may hold secrets.
///
/// # Errors
///
/// Fails when it cannot be read, or when [`decode`] refuses it. The caller names the path.
pub fn load(path: &Path, limit: usize) -> Result<Zeroizing<String>, LoadError> {
    read(File::open(path)?, limit)
}

/// Reads a stream to its end as text, but never more than `limit` bytes of it.
///
/// # Errors
///
/// As for [`load`].
pub fn read(source: impl Read, limit: usize) -> Result<Zeroizing<String>, LoadError> {
    // Allocated at once: a buffer that grows would leave copies of secrets behind.
    let mut bytes = Zeroizing::new(vec![0; limit.saturating_add(1)]);
    let mut source = source.take(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let mut length = 0;
    loop {
        match source.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(came) => length += came,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Zeroizing::new(decode(&bytes[..length], limit)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_an_end_is_too_long() {
        let error = read(io::repeat(b'x'), 1000).unwrap_err();
        assert!(matches!(
            error,
            LoadError::Text(TextError::TooLong { limit: 1000 })
        ));
        assert_eq!(read(&b"\xef\xbb\xbfab"[..], 5).unwrap().as_str(), "ab");
        assert!(read(&b"abcdef"[..], 5).is_err());
    }

    #[test]
    fn a_missing_file_is_distinguished_from_an_invalid_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        assert!(load(&path, 10).unwrap_err().is_absence());
        std::fs::write(&path, b"\xff\xfea\0").unwrap();
        assert!(!load(&path, 10).unwrap_err().is_absence());
    }
}
