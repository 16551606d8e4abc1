//! Why a target is not written to.

use std::io;
use std::path::PathBuf;

use quantity::human_bytes;

use crate::safety::Refusal;

/// Why a target is not written to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be inspected.
    #[error("cannot inspect {}", .path.display())]
    Inspect {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is neither disk nor file.
    #[error("{} is {what}, neither a disk nor a file", .path.display())]
    Kind {
        /// The target.
        path: PathBuf,
        /// Its kind.
        what: &'static str,
    },
    /// It is in `/dev`, but nothing is there.
    #[error("{} does not exist: `bedplate-flash list` shows the disks", .path.display())]
    NoDevice {
        /// The target.
        path: PathBuf,
    },
    /// It is a plain file in `/dev`.
    #[error("{} is a plain file among the devices, left there by a mistyped name: remove it; `bedplate-flash list` shows the disks", .path.display())]
    FileInDev {
        /// The target.
        path: PathBuf,
    },
    /// It is a part of a disk.
    #[error("{} is a partition: name the whole disk, /dev/{disk}", .path.display())]
    Partition {
        /// The target.
        path: PathBuf,
        /// Its disk.
        disk: String,
    },
    /// It is a file that is read for this flash.
    #[error("{} is itself needed for flashing", .path.display())]
    OwnInput {
        /// The file.
        path: PathBuf,
    },
    /// It is the backing file of a loop device.
    #[error("{} is in use as /dev/{by}: detach that first (losetup -d /dev/{by})", .path.display())]
    Loop {
        /// The file.
        path: PathBuf,
        /// The loop device.
        by: String,
    },
    /// Another program has locked it: another flash, or an emulator whose disk it is.
    #[error("another program is writing to {}, or runs from it: wait until that has ended, or use another target", .path.display())]
    InUse {
        /// The file or disk.
        path: PathBuf,
    },
    /// It is a file that is too small.
    #[error("{} has {}, and this image needs {}: give --size", .path.display(), human_bytes(*.has), human_bytes(*.needed))]
    FileTooSmall {
        /// The file.
        path: PathBuf,
        /// Its size.
        has: u64,
        /// The required size.
        needed: u64,
    },
    /// A size was given for a disk.
    #[error("--size is for files: the size of {} is fixed", .path.display())]
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
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would hold secrets, and others could read it.
    #[error("{} cannot be hidden from other users (mode 0600), and the machine config holds keys: use a file of your own, on a file system with owners", .path.display())]
    Private {
        /// The file.
        path: PathBuf,
        /// The kernel's error, if there was one.
        source: Option<io::Error>,
    },
    /// It cannot be opened exclusively.
    #[error("cannot open {} exclusively: it is in use, or you lack permission (try as root)", .path.display())]
    Busy {
        /// The disk.
        path: PathBuf,
        /// The kernel's error.
        source: sys::Error,
    },
    /// It was replaced between inspecting and opening.
    #[error("{} was replaced since it was inspected: start again", .path.display())]
    Replaced {
        /// The disk or file.
        path: PathBuf,
    },
}

/// Lists reasons, one per line.
fn list(reasons: &[Refusal]) -> String {
    reasons
        .iter()
        .map(|reason| format!("  - {reason}"))
        .collect::<Vec<_>>()
        .join("\n")
}
