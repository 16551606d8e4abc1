//! Why a medium was not flashed.

use std::io;

use medium::SlotError;

use crate::inspect::Fault;
use crate::plan::What;

/// Why a medium was not flashed, or is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The bundle is damaged.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The bundle is as it was signed, and was not right then.
    #[error(
        "the system in this bundle is not the one of its own root hash, and no node would start it: build it again"
    )]
    Inconsistent(#[source] SlotError),
    /// The medium is not the one of the plan.
    #[error("the medium has {actual} bytes, but the plan is for {planned}: was it replaced? plan again")]
    OtherMedium {
        /// The size in the plan.
        planned: u64,
        /// The actual size.
        actual: u64,
    },
    /// The medium fails.
    #[error("cannot {action} the medium, which is not bootable now: try again, or use another one")]
    Medium {
        /// The failed action.
        action: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The medium does not hold what was written to it.
    #[error(
        "the medium does not hold what was written at byte {offset} ({what:?}); it is not bootable now: use another one"
    )]
    ReadBack {
        /// What was written there.
        what: What,
        /// The offset.
        offset: u64,
    },
    /// A node could not use the medium.
    #[error("the finished medium cannot be used; its partition table was erased again")]
    Inspect(#[source] Fault),
}
