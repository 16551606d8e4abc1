//! The places on the node's own disk: the CONFIG partition, and the files in STATE.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::medium::Medium;
use machine_config::medium;

use crate::storage::wipe;

/// The config that is in effect after a start.
pub(super) const ACCEPTED: &str = "config.yaml";
/// The config that replaces it with the next start.
pub(super) const STAGED: &str = "config.staged.yaml";

/// Knows the places. They may be files of a test: nothing here depends on a device.
#[derive(Debug, Clone)]
pub struct ConfigDisk {
    /// The CONFIG partition's device; `None` when the disk has none.
    pub medium: Option<PathBuf>,
    /// The folder STATE is mounted on.
    pub state: PathBuf,
}

/// Says which place failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct DiskError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Tells whether a CONFIG partition holds a config that this release can use.
pub fn config_in(device: &Path) -> bool {
    let text = read_head(device).map(|bytes| medium::decode(&bytes));
    matches!(text, Ok(Ok(Some(text))) if machine_config::parse(&text).is_ok())
}

impl ConfigDisk {
    /// Reads the first bytes of CONFIG, enough for any config.
    pub(super) fn read_medium(&self) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(path) = &self.medium else { return Ok(None) };
        read_head(path).map(Some).map_err(context("read", path))
    }

    /// Overwrites whatever config CONFIG may hold with zeros.
    pub(super) fn wipe_medium(&self) -> Result<(), DiskError> {
        let Some(path) = &self.medium else { return Ok(()) };
        let wipe = || erase(&mut wipe::open(path)?);
        wipe().map_err(context("wipe", path))
    }

    /// Reads a file of STATE; `None` when it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, DiskError> {
        let path = self.state.join(name);
        match File::open(&path).and_then(|file| read_text(&file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(context("read", &path)(error)),
        }
    }

    /// Writes a file of STATE so that after a power cut it is the old one or the new one, and nobody else can read it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), DiskError> {
        let (path, fresh) = (self.state.join(name), self.state.join(format!("{name}.new")));
        let write = || {
            // A left-over of a power cut may have other permissions: never written into.
            remove_if_there(&fresh)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.state)?.sync_all()
        };
        write().map_err(context("write", &path))
    }

    /// Makes the staged config the accepted one.
    pub(super) fn promote_staged(&self) -> Result<(), DiskError> {
        let (staged, accepted) = (self.state.join(STAGED), self.state.join(ACCEPTED));
        let rename = || fs::rename(&staged, &accepted).and_then(|()| File::open(&self.state)?.sync_all());
        rename().map_err(context("rename", &staged))
    }

    /// Removes a file of STATE, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), DiskError> {
        let path = self.state.join(name);
        remove_if_there(&path).map_err(context("remove", &path))
    }
}

/// Reads as much of a CONFIG partition as any config takes.
fn read_head(device: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    File::open(device)?
        .take(medium::MAX as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Overwrites a config with zeros, its head first: after a power cut it is all there, or there is none, and
/// [`is_leftover`] finds what remains of it.
pub(super) fn erase(medium: &mut dyn Medium) -> io::Result<()> {
    let room = medium.len().min(medium::MAX as u64);
    let head = wipe::SECTOR.min(room);
    wipe::zero(medium, 0..head)?;
    wipe::zero(medium, head..room)
}

/// Tells whether the head of a config is erased, but not the rest: there may be secrets in it.
pub(super) fn is_leftover(bytes: &[u8]) -> bool {
    let head = bytes.len().min(wipe::SECTOR as usize);
    let blank = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    blank(&bytes[..head]) && !blank(&bytes[head..])
}

/// Reads at most one byte more than a config may have, so that a longer one is refused and not loaded.
fn read_text(file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.take(machine_config::LIMIT as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn context(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError { verb, path, source }
}
