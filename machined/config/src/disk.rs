//! The places on the node's own disk: the CONFIG partition, and the files in STATE.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::medium::Medium;
use machine_config::medium;
use owner::Owner;
use storage::{OwnerFile, wipe};
use text::LoadError;

use super::seal::{self, Opened};

/// The config that is in effect after a start.
pub(super) const ACCEPTED: &str = "config.yaml";
/// The same once more: what heals the first one.
pub(super) const SECOND: &str = "config.copy.yaml";
/// The config that replaces it with the next start.
pub(super) const STAGED: &str = "config.staged.yaml";

/// Knows the places. They may be files of a test: nothing here depends on a device.
#[derive(Debug, Clone)]
pub struct ConfigDisk {
    /// The CONFIG partition's device; `None` when the disk has none.
    pub medium: Option<PathBuf>,
    /// A file with the config of the first start, which whoever started the node as a container mounted.
    pub file: Option<PathBuf>,
    /// The folder STATE is mounted on.
    pub state: PathBuf,
    /// Set when STATE cannot be used, and memory stands in for it: what is filed goes to CONFIG, and the next start makes
    /// STATE again for it.
    pub state_lost: bool,
    /// Where it stands whose the node is.
    pub owner: OwnerFile,
}

/// A document of STATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filed {
    /// The document.
    pub yaml: String,
    /// What was damaged and is repaired by storing it again.
    pub problem: Option<String>,
    /// Set when it should be filed again.
    pub refile: bool,
}

impl Filed {
    /// A document that is as it should be.
    pub(super) fn sound(yaml: String) -> Self {
        Filed {
            yaml,
            problem: None,
            refile: false,
        }
    }
}

/// Says why STATE holds a config that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FiledError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("it is damaged: its checksum does not match{}", if *both { ", nor does that of its second copy" } else { "" })]
    Damaged { both: bool },
}

/// Says why the file of a container cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub(super) struct FileError {
    path: PathBuf,
    #[source]
    source: LoadError,
}

/// One of the two files of the accepted config.
enum Copy {
    Missing,
    Intact(String),
    Unsealed(String),
    Damaged,
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

    /// Reads the file of a container; `None` when there is none.
    pub(super) fn read_file(&self) -> Result<Option<String>, FileError> {
        let Some(path) = &self.file else { return Ok(None) };
        match text::load(path, seal::MAX) {
            Ok(yaml) => Ok(Some(yaml.to_string())),
            Err(LoadError::Access(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError {
                path: path.clone(),
                source,
            }),
        }
    }

    /// Overwrites whatever config CONFIG may hold with zeros.
    pub(super) fn wipe_medium(&self) -> Result<(), DiskError> {
        let Some(path) = &self.medium else { return Ok(()) };
        let wipe = || erase(&mut wipe::open(path)?);
        wipe().map_err(context("wipe", path))
    }

    /// Reads the staged config; `None` when there is none.
    pub(super) fn read_staged(&self) -> Result<Option<Filed>, FiledError> {
        match self.copy(STAGED)? {
            Copy::Missing => Ok(None),
            Copy::Intact(yaml) | Copy::Unsealed(yaml) => Ok(Some(Filed::sound(yaml))),
            Copy::Damaged => Err(FiledError::Damaged { both: false }),
        }
    }

    /// Reads the accepted config from whichever of its files is sound; `None` when there is none.
    pub(super) fn read_accepted(&self) -> Result<Option<Filed>, FiledError> {
        // One that cannot be read at all is as good as damaged.
        let first = self.copy(ACCEPTED);
        let second = self.copy(SECOND).unwrap_or(Copy::Damaged);
        let again = |yaml, problem: Option<String>| Filed {
            yaml,
            problem,
            refile: true,
        };
        let restored = |name, what| Some(format!("{name} {what}; it is restored from its second copy"));
        Ok(match (first, second) {
            (Ok(Copy::Intact(yaml)), Copy::Intact(second)) if yaml == second => Some(Filed::sound(yaml)),
            (Ok(Copy::Intact(yaml)), Copy::Damaged) => Some(again(yaml, restored(SECOND, "was damaged"))),
            // A power cut between the two; or an older release, which knew of no second one: the first is the newer.
            (Ok(Copy::Intact(yaml) | Copy::Unsealed(yaml)), _) => Some(again(yaml, None)),
            (Ok(Copy::Missing), Copy::Intact(yaml)) => Some(again(yaml, restored(ACCEPTED, "was missing"))),
            (_, Copy::Intact(yaml)) => Some(again(yaml, restored(ACCEPTED, "was damaged"))),
            (Ok(Copy::Missing), Copy::Missing) => None,
            (Err(error), _) => return Err(error.into()),
            _ => return Err(FiledError::Damaged { both: true }),
        })
    }

    fn copy(&self, name: &str) -> Result<Copy, DiskError> {
        let path = self.state.join(name);
        let mut bytes = Vec::new();
        // One byte more than there may be, so that a longer file is refused and not loaded.
        let read = File::open(&path)
            .and_then(|file| file.take(seal::MAX as u64 + 1).read_to_end(&mut bytes).map(drop));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Copy::Missing),
            read => read.map_err(context("read", &path))?,
        }
        Ok(match seal::open(&bytes) {
            Opened::Intact(yaml) => Copy::Intact(yaml),
            Opened::Unsealed(yaml) => Copy::Unsealed(yaml),
            Opened::Damaged => Copy::Damaged,
        })
    }

    /// Files the accepted config, twice. After a power cut it is the old one or the new one. What is accepted now is newer
    /// than anything staged.
    pub(super) fn file_accepted(&self, yaml: &str) -> Result<(), DiskError> {
        if self.state_lost {
            return self.write_medium(yaml);
        }
        let sealed = seal::seal(yaml);
        self.write(ACCEPTED, &sealed)?;
        self.remove(STAGED)?;
        self.write(SECOND, &sealed)
    }

    /// Files the config that takes effect with the next start.
    pub(super) fn file_staged(&self, yaml: &str) -> Result<(), DiskError> {
        if self.state_lost {
            return self.write_medium(yaml);
        }
        self.write(STAGED, &seal::seal(yaml))
    }

    /// Makes the node know whose it is; returns what is wrong where it cannot.
    pub fn own(&self, owner: &Owner) -> Option<String> {
        let error = self.owner.set(owner).err()?;
        Some(format!(
            "BOOTSTATE: {error}; if its config is lost, the node cannot tell its owner from a stranger"
        ))
    }

    /// Writes a config where the flash tool puts it. A write that is cut short leaves what is told from a config.
    fn write_medium(&self, yaml: &str) -> Result<(), DiskError> {
        let none = PathBuf::from("CONFIG");
        let path = self.medium.as_ref().unwrap_or(&none);
        let write = || {
            let frame = medium::encode(yaml).map_err(io::Error::other)?;
            let mut partition = wipe::open(path)?;
            partition.write_at(0, &frame)?;
            partition.sync()
        };
        write().map_err(context("write", path))
    }

    /// Writes a file of STATE so that after a power cut it is the old one or the new one, and nobody else can read it.
    fn write(&self, name: &str, text: &str) -> Result<(), DiskError> {
        let path = self.state.join(name);
        sys::durable::write(&path, text.as_bytes(), 0o600).map_err(context("write", &path))
    }

    /// Removes a file of STATE, if it is there.
    fn remove(&self, name: &str) -> Result<(), DiskError> {
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
