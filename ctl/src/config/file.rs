//! The client's file on the disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::ClientConfig;
use crate::ui;
use crate::written;

/// Finds the client's file: as given, else in the user's configuration folder.
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
    let base =
        base.context("neither XDG_CONFIG_HOME nor HOME is set: say where the client's file is by --config")?;
    Ok(base.join("bedplate/config.yaml"))
}

/// Reads the client's file, if it is there. Warns when others could read the key in it.
pub fn load(path: &Path) -> anyhow::Result<Option<ClientConfig>> {
    let Some(text) = written::find(path)? else {
        return Ok(None);
    };
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        ui::note(&format!(
            "others can read {0}, and the key in it; better: chmod 600 {0}",
            path.display()
        ));
    }
    written::parse(path, &text, ClientConfig::parse).map(Some)
}

/// Writes the client's file: whole or not at all, and for its owner's eyes only.
pub fn save(path: &Path, config: &ClientConfig) -> anyhow::Result<()> {
    written::replace(path, &config.to_yaml(), 0o600)
}

/// Writes a file with secrets, for its owner's eyes only. One that is there stays, unless `force`.
pub fn write_private(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let write = match force {
        true => sys::durable::write,
        false => sys::durable::create,
    };
    match write(path, text.as_bytes(), 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            anyhow::bail!("{} is there already; --force writes over it", path.display())
        }
        result => result.with_context(|| format!("cannot write {}", path.display())),
    }
}
