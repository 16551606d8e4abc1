//! The client config on disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::ClientConfig;
use crate::ui;
use crate::user_file;

/// Returns the path of the client config: as given, or in the user's configuration directory.
pub fn path(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let base = base.context(
        "neither XDG_CONFIG_HOME nor HOME is set: give the path of the client config with --config",
    )?;
    Ok(base.join("bedplate/config.yaml"))
}

/// Reads the client config, if it exists. Warns when others could read the key in it.
pub fn load(path: &Path) -> anyhow::Result<Option<ClientConfig>> {
    let Some(text) = user_file::find(path)? else {
        return Ok(None);
    };
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        ui::note(&format!(
            "{0} holds a private key and is readable by others; run: chmod 600 {0}",
            path.display()
        ));
    }
    user_file::parse(path, &text, ClientConfig::parse).map(Some)
}

/// Writes the client config atomically, readable by its owner only.
pub fn save(path: &Path, config: &ClientConfig) -> anyhow::Result<()> {
    user_file::replace(path, &config.to_yaml(), 0o600)
}

/// Writes a file with secrets, readable by its owner only. An existing file is kept, unless `force`.
pub fn write_private(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let write = match force {
        true => sys::durable::write,
        false => sys::durable::create,
    };
    match write(path, text.as_bytes(), 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            anyhow::bail!("{} already exists; use --force to overwrite it", path.display())
        }
        result => result.with_context(|| format!("cannot write {}", path.display())),
    }
}
