//! What can go wrong with an upgrade or a rollback.

use std::io;
use std::path::{Path, PathBuf};

use manifest::{Digest, VerifyError};
use medium::SlotError;
use slots::{Slot, SlotState, Version};

/// Why an upgrade, a rollback, or a step of one, cannot be done. Says how to go on where there is a way.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    // The running system.
    #[error("this system was not started by the loader: the running slot is unknown")]
    NotFromLoader,
    #[error("slot {0} no longer holds the manifest that the loader verified: restart the node")]
    RunningSlot(Slot),
    #[error("the slot record cannot be read")]
    ReadRecord(#[source] io::Error),
    #[error("the slot record cannot be written")]
    WriteRecord(#[source] io::Error),
    #[error(
        "the running release {0} has no list of trusted keys, so no upgrade can be trusted: flash a release that has one"
    )]
    NoKeys(Version),
    #[error("cannot open {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot open {} for writing", path.display())]
    OpenForWriting {
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    // The bundle.
    #[error("the bundle is {version} with manifest {found}, and not the requested one, with manifest {pin}")]
    OtherBundle {
        version: Version,
        found: Digest,
        pin: Digest,
    },
    /// The preflight found something.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Upgrade(#[from] upgrade::Error),
    #[error(transparent)]
    Remote(#[from] remote::Error),

    // Arming.
    #[error("the upgrade has no slot")]
    NoSlot,
    #[error("slot {0} is running by now: run the upgrade again")]
    SlotRuns(Slot),
    #[error("slot {slot} no longer holds {release}: run the upgrade again")]
    SlotChanged { slot: Slot, release: String },
    #[error("the history of upgrades cannot be written")]
    History(#[source] io::Error),

    // Going back.
    #[error("slot {0} holds no system to roll back to")]
    NothingToRollBackTo(Slot),
    #[error(
        "slot {slot} with {version} was never committed ({state}): only a committed system can be rolled back to"
    )]
    NeverCommitted {
        slot: Slot,
        version: Version,
        state: SlotState,
    },
    #[error("version {version} in slot {slot} is below {floor}, the lowest that may boot here")]
    BelowFloor {
        slot: Slot,
        version: Version,
        floor: Version,
    },
    #[error("version {version} in slot {slot} would not be started")]
    NotTrusted {
        slot: Slot,
        version: Version,
        #[source]
        source: VerifyError,
    },
    #[error("slot {slot} cannot be read")]
    ReadSlot {
        slot: Slot,
        #[source]
        source: io::Error,
    },
    #[error("slot {slot} no longer holds {version}")]
    SlotDamaged {
        slot: Slot,
        version: Version,
        #[source]
        source: SlotError,
    },

    // The node itself.
    #[error("no thread for the upgrade")]
    Thread(#[source] io::Error),
    #[error("the upgrade panicked; see `bedplate logs machined`")]
    Panicked,
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Names the file that could not be opened.
    pub fn open(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Error::Open { path, source }
    }

    /// Names the file that could not be opened for writing.
    pub fn open_for_writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Error::OpenForWriting { path, source }
    }
}
