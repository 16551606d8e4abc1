//! The status of controllers.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// The status of one controller. Owned by the runtime; named by the controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControllerStatus {
    /// What it does now.
    pub state: ControllerState,
    /// The kinds it reads.
    pub inputs: Vec<String>,
    /// The kinds it writes.
    pub outputs: Vec<String>,
    /// How often it failed since the start, panics included.
    pub failures: u64,
    /// How often it panicked since the start.
    pub panics: u64,
}

/// The state of one controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "phase")]
pub enum ControllerState {
    /// It has not finished its first run.
    Starting,
    /// Its last run made true what should be true.
    Ready,
    /// Its last run failed; it will be tried again.
    Failing {
        /// The error with its causes.
        error: String,
        /// How many runs failed in a row.
        attempts: u32,
    },
}

impl Resource for ControllerStatus {
    const KIND: &'static str = "ControllerStatus";
}
