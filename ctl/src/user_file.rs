//! Files that people write and edit.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

/// Size limit of client configs, secrets and certificates: a thousand contexts fit.
const LIMIT: usize = 4 * 1024 * 1024;

/// Reads a file; `None` if it does not exist.
pub fn find(path: &Path) -> anyhow::Result<Option<Zeroizing<String>>> {
    match text::load(path, LIMIT) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_absence() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Reads a file.
pub fn load(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    text::load(path, LIMIT).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file atomically with the permissions `mode`, and creates the directory it is in.
pub fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| sys::durable::write(path, text.as_bytes(), mode))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Parses a file's text.
///
/// # Errors
///
/// The parser's error, or a plainer one where the text is empty or has blanks that look like spaces.
pub fn parse<T, E>(path: &Path, text: &str, parser: impl FnOnce(&str) -> Result<T, E>) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let refused = |error| match text::odd_blanks(text).next() {
        _ if text.trim().is_empty() => anyhow::anyhow!("it is empty"),
        Some(odd) => odd.into(),
        None => anyhow::Error::new(error),
    };
    parser(text)
        .map_err(refused)
        .with_context(|| format!("cannot use {}", path.display()))
}
