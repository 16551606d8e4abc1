//! Why an upgrade did not finish.

use std::io;

use manifest::trailer::TrailerError;
use medium::SlotError;
use verity::{GeometryError, VerifyError};

/// Why an upgrade did not finish. The running slot is unchanged, and the next run continues from what is there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundle cannot be read, or is not valid.
    #[error("cannot use the bundle")]
    Bundle(#[from] bundle::Error),
    /// The bundle's hash tree cannot be read, or does not match its root hash.
    #[error("the bundle's hash tree does not fit its signed root hash: the bundle was built wrongly")]
    Tree(#[from] VerifyError),
    /// The manifest describes an impossible tree.
    #[error("the bundle's hash tree is impossible")]
    Geometry(#[from] GeometryError),
    /// The data that the signed index covers differs from the data that the signed tree covers.
    #[error("the bundle's data at byte {0} does not fit its own hash tree: the bundle was built wrongly")]
    Inconsistent(u64),
    /// The target slot cannot be read or written.
    #[error("cannot {0} slot {1}")]
    Slot(&'static str, slots::Slot, #[source] io::Error),
    /// The running slot cannot be read.
    #[error("cannot read the running slot")]
    Running(#[source] io::Error),
    /// The slot was written, but does not read back.
    #[error("slot {0} does not read back as it was written: the medium fails")]
    ReadBack(slots::Slot, #[source] SlotError),
    /// The manifest was written, but does not read back.
    #[error("the manifest of slot {0} does not read back as it was written: the medium fails")]
    Trailer(slots::Slot),
    /// The manifest does not fit.
    #[error("the manifest does not fit into the slot")]
    NoRoom(#[from] TrailerError),
    /// The slot record cannot be read or written.
    #[error("cannot {0} the slot record")]
    Record(&'static str, #[source] io::Error),
    /// The caller stopped it.
    #[error("stopped; what was written so far is kept, and the next run goes on from there")]
    Stopped,
}
