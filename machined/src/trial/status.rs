//! How the node is, and what becomes of its trial, as resources.

use serde::{Deserialize, Serialize};

use crate::resource::Resource;

/// Tells whether the node is well. Owned by `slots`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthStatus {
    /// Whether everything that is required holds.
    pub healthy: bool,
    /// What is required, and whether it holds.
    pub checks: Vec<CheckResult>,
}

impl Resource for HealthStatus {
    const KIND: &'static str = "HealthStatus";
}

/// Is one thing that is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckResult {
    /// `api`, `network`, `time`, `services`, as in the machine config; `config` when the node is locked.
    pub name: String,
    /// Whether it holds.
    pub healthy: bool,
    /// What is missing; empty when nothing is.
    pub message: String,
}

/// Tells what becomes of the running system. Owned by `slots`; one, named `node`.
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
    /// It did not get well in time; the node restarts into the old system.
    GivenUp,
}

impl Resource for TrialStatus {
    const KIND: &'static str = "TrialStatus";
}
