//! Why something is not written to.

use std::io;
use std::path::PathBuf;

use quantity::human_bytes;

use crate::safety::Refusal;

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
    /// It is a plain file in `/dev`.
    #[error("{} is a plain file among the devices, left there by a mistyped name: remove it; `bedplate-flash list` shows the disks", .path.display())]
    FileInDev {
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
    /// Another program has locked it: another flash, or an emulator whose disk it is.
    #[error("another program is writing to {}, or runs from it: wait until that has ended, or name another target", .path.display())]
    InUse {
        /// The file or disk.
        path: PathBuf,
    },
    /// It is a file without a size that would do.
    #[error("{} has {}, and this image needs {}: give --size", .path.display(), human_bytes(*.has), human_bytes(*.needed))]
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
    /// It would hold secrets, and others could read it.
    #[error("{} cannot be kept from other users (mode 0600), and the machine config holds keys: name a file of your own, on a file system with owners", .path.display())]
    Private {
        /// The file.
        path: PathBuf,
        /// What the kernel said, if it said anything.
        source: Option<io::Error>,
    },
    /// The kernel does not let us have it for ourselves.
    #[error("cannot have {} for oneself: something uses it, or you may not (try as root)", .path.display())]
    Busy {
        /// The disk.
        path: PathBuf,
        /// The kernel's answer.
        source: sys::Error,
    },
    /// Something else took its place between looking and opening.
    #[error("{} is not what was looked at: it was exchanged, so start again", .path.display())]
    Exchanged {
        /// The disk or file.
        path: PathBuf,
    },
}

/// Lists reasons, one a line.
fn list(reasons: &[Refusal]) -> String {
    reasons
        .iter()
        .map(|reason| format!("  - {reason}"))
        .collect::<Vec<_>>()
        .join("\n")
}
