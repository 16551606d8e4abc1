//! A small file, read whole.

use crate::{Error, Options, Remote, shown};

/// Reads a whole file of at most `most` bytes. Blocks.
///
/// # Errors
///
/// All errors of [`Remote`], and [`Error::TooLong`].
pub fn read_small(url: &str, options: Options, most: usize) -> Result<Vec<u8>, Error> {
    let options = Options {
        first: u64::try_from(most).unwrap_or(u64::MAX),
        ..options
    };
    let mut remote = Remote::open(url, options)?;
    let length = usize::try_from(remote.len()).unwrap_or(usize::MAX);
    if length > most {
        let url = shown(url);
        return Err(Error::TooLong { url, most });
    }
    let mut content = vec![0; length];
    remote.read_at(0, &mut content)?;
    Ok(content)
}
