//! The target: a disk, or a file.

mod error;
mod file;
mod requirements;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use medium::FileMedium;
use serde::Serialize;

pub use self::error::TargetError;
pub use self::file::FileTarget;
pub use self::requirements::Requirements;
use crate::host::{Disk, Found, Host};
use crate::safety::{Refusal, refusals};

/// A disk or a file that may be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Target {
    /// A disk.
    Disk(Disk),
    /// A file.
    File(FileTarget),
}

impl Target {
    /// Inspects the named target, and refuses what must not be written to. Changes nothing.
    pub fn inspect(host: &Host, path: &Path, required: &Requirements<'_>) -> Result<Self, TargetError> {
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return FileTarget::new(host, path, required).map(Target::File);
            }
            Err(source) => {
                return Err(TargetError::Inspect {
                    path: path.into(),
                    source,
                });
            }
        };
        let kind = facts.file_type();
        if kind.is_block_device() {
            if required.size.is_some() {
                return Err(TargetError::SizeOfDisk { path: path.into() });
            }
            let open = |source| TargetError::Open {
                path: path.into(),
                source,
            };
            let device = File::open(path).map_err(open)?;
            let asked = |error| open(io::Error::other(error));
            let number = sys::disk::number(&device).map_err(asked)?;
            let number = number.ok_or_else(|| TargetError::NoDevice { path: path.into() })?;
            // An emulator that runs from a disk does not mount it, but locks it.
            if sys::lock::is_held(&device).map_err(asked)? {
                return Err(TargetError::InUse { path: path.into() });
            }
            return Self::disk(host, path, number, required.needed);
        }
        if !kind.is_file() {
            let what = if kind.is_dir() {
                "a directory"
            } else {
                "a device or pipe"
            };
            return Err(TargetError::Kind {
                path: path.into(),
                what,
            });
        }
        FileTarget::existing(host, path, &facts, required).map(Target::File)
    }

    /// Opens the target: a disk exclusively, checked again on the open file; a file at its size.
    pub fn open(&self, host: &Host) -> Result<FileMedium, TargetError> {
        match self {
            Target::Disk(disk) => {
                let path = || disk.path.clone();
                let file = sys::disk::open_exclusively(&disk.path)
                    .map_err(|source| TargetError::Busy { path: path(), source })?;
                let look = |source: io::Error| TargetError::Inspect { path: path(), source };
                if !sys::lock::try_whole(&file).map_err(|error| look(io::Error::other(error)))? {
                    return Err(TargetError::InUse { path: path() });
                }
                let number = sys::disk::number(&file).map_err(|error| look(io::Error::other(error)))?;
                let again = match host.find(disk.number).map_err(look)? {
                    Found::Disk(again) => again,
                    Found::PartitionOf(_) => return Err(TargetError::Replaced { path: path() }),
                };
                let read_only =
                    sys::disk::is_read_only(&file).map_err(|error| look(io::Error::other(error)))?;
                if read_only {
                    return Err(TargetError::Refused {
                        path: path(),
                        reasons: vec![Refusal::ReadOnly],
                    });
                }
                let medium = FileMedium::new(file).map_err(look)?;
                let again = Disk {
                    path: path(),
                    ..again
                };
                let same = number == Some(disk.number) && again == *disk;
                if !same || medium::Medium::len(&medium) != disk.size {
                    return Err(TargetError::Replaced { path: path() });
                }
                Ok(medium)
            }
            Target::File(file) => file.open(),
        }
    }

    /// Returns the size of the medium.
    pub fn size(&self) -> u64 {
        match self {
            Target::Disk(disk) => disk.size,
            Target::File(file) => file.size,
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        match self {
            Target::Disk(disk) => &disk.path,
            Target::File(file) => &file.path,
        }
    }

    fn disk(host: &Host, path: &Path, number: (u64, u64), needed: u64) -> Result<Self, TargetError> {
        match host.find(number).map_err(|source| TargetError::Inspect {
            path: path.into(),
            source,
        })? {
            Found::PartitionOf(disk) => Err(TargetError::Partition {
                path: path.into(),
                disk,
            }),
            Found::Disk(disk) => {
                let reasons = refusals(&disk, needed);
                if reasons.is_empty() {
                    Ok(Target::Disk(Disk {
                        path: path.into(),
                        ..disk
                    }))
                } else {
                    Err(TargetError::Refused {
                        path: path.into(),
                        reasons,
                    })
                }
            }
        }
    }
}
