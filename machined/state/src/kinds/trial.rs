//! What becomes of a system on trial.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// What becomes of the running system. Owned by `slots`; one, named `node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "phase")]
pub enum TrialStatus {
    /// It is not on trial.
    None,
    /// Something that is required does not hold yet.
    Waiting {
        /// When the old system is started again, in milliseconds since the kernel started.
        deadline_ms: u64,
    },
    /// Everything holds, and has to for a while.
    Holding {
        /// When it is kept, in milliseconds since the kernel started.
        until_ms: u64,
    },
    /// It was on trial, and is kept.
    Committed,
    /// It was not healthy in time; the node restarts into the old system.
    GivenUp,
}

impl Resource for TrialStatus {
    const KIND: &'static str = "TrialStatus";
}
