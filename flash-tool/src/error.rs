//! Why a medium was not flashed.

use std::io;

use medium::SlotError;

use crate::inspect::Fault;
use crate::plan::What;

/// Why a medium is not good.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The bundle is damaged.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The medium is not the one that the plan is for.
    #[error("the medium has {actual} bytes, but the plan is for {planned}: was it exchanged? plan again")]
    OtherMedium {
        /// What the plan is for.
        planned: u64,
        /// What there is.
        actual: u64,
    },
    /// The medium fails.
    #[error("cannot {action} the medium, which is not bootable now: try again, or take another one")]
    Medium {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The medium does not hold what was written to it.
    #[error(
        "the medium does not hold what was written at byte {offset} ({what:?}); it is not bootable now: take another one"
    )]
    ReadBack {
        /// What was written there.
        what: What,
        /// Where.
        offset: u64,
    },
    /// The slot's hash tree does not match.
    #[error("the medium is bad and is not bootable now: take another one")]
    Slot(#[from] SlotError),
    /// A node could not use the medium.
    #[error("the finished medium cannot be used; its partition table was erased again")]
    Inspect(#[source] Fault),
}
