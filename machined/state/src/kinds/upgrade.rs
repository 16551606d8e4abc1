//! How far an upgrade is.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// What an upgrade is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// None runs.
    #[default]
    Idle,
    /// Reads the head of the bundle, and checks who signed it.
    Opening,
    /// Looks at what the slots hold already.
    Surveying,
    /// Fetches, proves and writes.
    Fetching,
    /// Reads the slot back from the medium.
    Verifying,
    /// All is written; it is armed when the maintenance window opens, and its rollout still wants it.
    Waiting,
    /// All is written: the next start is a trial.
    Armed,
    /// The node restarts into the new system.
    Rebooting,
    /// It ended without a new system.
    Failed,
}

/// When the node restarts into the new system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// As soon as all is written and proved.
    #[default]
    Now,
    /// With the next restart, whoever asks for it.
    Staged,
    /// In the next maintenance window.
    Window,
}

/// How far the upgrade is that runs, or the last one since the node started. Owned by `upgrades`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpgradeStatus {
    /// Names the upgrade; empty before the first.
    pub id: String,
    /// What it is doing.
    pub stage: Stage,
    /// Version that ran when it started.
    pub from_version: String,
    /// Version in the bundle; empty until its manifest is read.
    pub to_version: String,
    /// SHA-256 of the bundle's manifest in hex; empty until it is read.
    pub manifest: String,
    /// Where the bundle comes from, without credentials; or `pushed`.
    pub source: String,
    /// When the node restarts into it.
    pub mode: Mode,
    /// Bytes that the plan has to fetch.
    pub fetch_bytes: u64,
    /// Bytes that came, wanted or not.
    pub fetched_bytes: u64,
    /// Bytes that the plan has to write.
    pub write_bytes: u64,
    /// Bytes written so far.
    pub written_bytes: u64,
    /// Bytes that were in place already.
    pub equal_bytes: u64,
    /// How far the present stage is.
    pub stage_bytes: u64,
    /// Bytes of the present stage in all; 0 when unknown.
    pub stage_total_bytes: u64,
    /// When it started, in milliseconds since 1970 by the node's clock.
    pub started_unix_ms: i64,
    /// When it started, in milliseconds since the kernel started.
    pub started_uptime_ms: u64,
    /// Time that is left until it is armed, in milliseconds; 0 when unknown.
    pub eta_ms: u64,
    /// Why it failed or was cancelled.
    pub reason: String,
    /// What it waits for.
    pub message: String,
}

impl Resource for UpgradeStatus {
    const KIND: &'static str = "UpgradeStatus";
}
