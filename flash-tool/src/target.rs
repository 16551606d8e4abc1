//! What is written to: a disk, or a file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use medium::FileMedium;
use serde::Serialize;

use crate::host::{Disk, Found, Host};
use crate::safety::{Refusal, refusals};
use crate::size::show;

/// A disk or a file that may be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Target {
    /// A disk.
    Disk(Disk),
    /// A file, that may be yet to be made.
    #[serde(rename_all = "camelCase")]
    File {
        /// The file.
        path: PathBuf,
        /// The bytes that it will have.
        size: u64,
        /// Whether it has to be made.
        new: bool,
    },
}

/// Why something is not written to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be looked at.
    #[error("cannot look at {}", .path.display())]
    Look {
        /// What was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is neither disk nor file.
    #[error("{} is {what}, neither a disk nor a file", .path.display())]
    Kind {
        /// What was named.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is in `/dev`, but nothing is there.
    #[error("{} does not exist: `bedplate-flash list` shows the disks", .path.display())]
    NoDevice {
        /// What was named.
        path: PathBuf,
    },
    /// It is a part of a disk.
    #[error("{} is a partition: name the whole disk, /dev/{disk}", .path.display())]
    Partition {
        /// What was named.
        path: PathBuf,
        /// Its disk.
        disk: String,
    },
    /// It is a file that is read for this very flash.
    #[error("{} is itself needed for flashing", .path.display())]
    OwnInput {
        /// The file.
        path: PathBuf,
    },
    /// It is a file that a loop device stands on.
    #[error("{} is in use as /dev/{by}: detach that first (losetup -d /dev/{by})", .path.display())]
    Loop {
        /// The file.
        path: PathBuf,
        /// The device on top.
        by: String,
    },
    /// It is a file without a size that would do.
    #[error("{} has {}, and this image needs {}: give --size", .path.display(), show(*.has), show(*.needed))]
    FileTooSmall {
        /// The file.
        path: PathBuf,
        /// What it has.
        has: u64,
        /// What it needs.
        needed: u64,
    },
    /// A size was given for a disk.
    #[error("--size is for files: {} has the size it has", .path.display())]
    SizeOfDisk {
        /// The disk.
        path: PathBuf,
    },
    /// It must not be written to.
    #[error("{} is not written to:\n{}", .path.display(), list(.reasons))]
    Refused {
        /// The disk.
        path: PathBuf,
        /// Why.
        reasons: Vec<Refusal>,
    },
    /// It cannot be opened.
    #[error("cannot open {}", .path.display())]
    Open {
        /// What was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not let us have it for ourselves.
    #[error("cannot have {} for oneself: something uses it, or you may not (try as root)", .path.display())]
    Busy {
        /// The disk.
        path: PathBuf,
        /// The kernel's answer.
        source: sys::Error,
    },
    /// Another disk took its place between looking and opening.
    #[error("{} is not the disk that was looked at: it was exchanged, so start again", .path.display())]
    Exchanged {
        /// The disk.
        path: PathBuf,
    },
}

impl Target {
    /// Looks at what was named, and refuses what must not be written to. Changes nothing.
    ///
    /// `needed` is the least that will do, `size` what the user asked for, `inputs` are files that are read meanwhile.
    pub fn look(
        host: &Host,
        path: &Path,
        needed: u64,
        size: Option<u64>,
        inputs: &[&Path],
    ) -> Result<Self, TargetError> {
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::new_file(path, needed, size);
            }
            Err(source) => {
                return Err(TargetError::Look {
                    path: path.into(),
                    source,
                });
            }
        };
        let kind = facts.file_type();
        if kind.is_block_device() {
            if size.is_some() {
                return Err(TargetError::SizeOfDisk { path: path.into() });
            }
            let device = File::open(path).and_then(|file| sys::disk::number(&file).map_err(io::Error::other));
            let number = device.map_err(|source| TargetError::Open {
                path: path.into(),
                source,
            })?;
            let number = number.ok_or_else(|| TargetError::NoDevice { path: path.into() })?;
            return Self::disk(host, path, number, needed);
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
        let same = |input: &&Path| {
            fs::metadata(input).is_ok_and(|other| (other.dev(), other.ino()) == (facts.dev(), facts.ino()))
        };
        if inputs.iter().any(same) {
            return Err(TargetError::OwnInput { path: path.into() });
        }
        if let Some(by) = fs::canonicalize(path).ok().and_then(|path| host.loop_over(&path)) {
            return Err(TargetError::Loop {
                path: path.into(),
                by,
            });
        }
        Self::file(path, size.unwrap_or(facts.len()), needed, false)
    }

    /// Opens the target: a disk for ourselves alone, checked again on the open file; a file at its size.
    pub fn open(&self, host: &Host) -> Result<FileMedium, TargetError> {
        match self {
            Target::Disk(disk) => {
                let path = || disk.path.clone();
                let file = sys::disk::open_exclusively(&disk.path)
                    .map_err(|source| TargetError::Busy { path: path(), source })?;
                let look = |source: io::Error| TargetError::Look { path: path(), source };
                let number = sys::disk::number(&file).map_err(|error| look(io::Error::other(error)))?;
                let again = match host.find(disk.number).map_err(look)? {
                    Found::Disk(again) => again,
                    Found::PartitionOf(_) => return Err(TargetError::Exchanged { path: path() }),
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
                    return Err(TargetError::Exchanged { path: path() });
                }
                Ok(medium)
            }
            Target::File { path, size, .. } => {
                let open = |source| TargetError::Open {
                    path: path.clone(),
                    source,
                };
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path);
                let file = file.map_err(open)?;
                file.set_len(*size).map_err(open)?;
                FileMedium::new(file).map_err(open)
            }
        }
    }

    /// Returns the bytes in the medium.
    pub fn size(&self) -> u64 {
        match self {
            Target::Disk(disk) => disk.size,
            Target::File { size, .. } => *size,
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        match self {
            Target::Disk(disk) => &disk.path,
            Target::File { path, .. } => path,
        }
    }

    fn disk(host: &Host, path: &Path, number: (u64, u64), needed: u64) -> Result<Self, TargetError> {
        match host.find(number).map_err(|source| TargetError::Look {
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

    fn new_file(path: &Path, needed: u64, size: Option<u64>) -> Result<Self, TargetError> {
        // A mistyped disk must not become a file that fills /dev's memory.
        if path.starts_with("/dev") {
            return Err(TargetError::NoDevice { path: path.into() });
        }
        Self::file(path, size.unwrap_or(needed), needed, true)
    }

    fn file(path: &Path, size: u64, needed: u64, new: bool) -> Result<Self, TargetError> {
        if size < needed {
            return Err(TargetError::FileTooSmall {
                path: path.into(),
                has: size,
                needed,
            });
        }
        Ok(Target::File {
            path: path.into(),
            size,
            new,
        })
    }
}

/// Lists reasons, one a line.
fn list(reasons: &[Refusal]) -> String {
    reasons
        .iter()
        .map(|reason| format!("  - {reason}"))
        .collect::<Vec<_>>()
        .join("\n")
}
