//! What can be wrong with a volume.

use std::io;

/// Why a volume cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The medium failed.
    #[error("cannot {what} the FAT volume")]
    Io {
        /// What was tried: `read` or `write`.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// There is no FAT32 volume.
    #[error("not a FAT32 volume: {0}")]
    NotFat32(&'static str),
    /// A folder cannot be followed.
    #[error("the FAT volume is damaged: {what} of /{path}")]
    Damaged {
        /// The folder, without leading slash.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It has more files or folders than anything that starts a machine.
    #[error("the FAT volume has more than {0} files and folders")]
    TooMany(usize),
    /// The new files do not fit beside the old ones.
    #[error(
        "the FAT volume is too full: {need} clusters are needed, and {free} are free; remove files that do not belong there"
    )]
    Full {
        /// Clusters that are needed.
        need: usize,
        /// Clusters that no file uses.
        free: usize,
    },
    /// A path that FAT cannot hold, or one that a file or folder stands in the way of.
    #[error("/{path} cannot be a file on the FAT volume: {why}")]
    Path {
        /// The path, without leading slash.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The medium returned other bytes than were written. Nothing was switched to them.
    #[error("the medium does not hold what was written for /{path}; the old file is still in place")]
    ReadBack {
        /// The file, without leading slash.
        path: String,
    },
}

impl Error {
    pub(crate) fn read(source: io::Error) -> Error {
        Error::Io { what: "read", source }
    }

    pub(crate) fn write(source: io::Error) -> Error {
        Error::Io {
            what: "write",
            source,
        }
    }
}
