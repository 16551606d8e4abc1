//! Files that people write and edit.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

/// The longest client file, file of secrets, or certificate: a thousand contexts fit.
const LIMIT: usize = 4 * 1024 * 1024;

/// Reads a file; `None` when it is not there.
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

/// Writes a file whole or not at all, and makes the folder it is in. `mode` is its permissions.
pub fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| sys::durable::write(path, text.as_bytes(), mode))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Hands a file's text to its parser, and says plainly why it is refused.
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
