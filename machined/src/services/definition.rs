//! What a service is, as the image's `release.yaml` says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Is a program that is kept running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The service's name.
    pub name: String,
    /// The program, absolute, and its arguments.
    pub command: Vec<String>,
    /// Environment variables; nothing else is in its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Services that must be healthy before this one starts.
    #[serde(default)]
    pub after: Vec<String>,
    /// How to find out whether it is well; without one it is well while it runs.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// What to do when it ends.
    #[serde(default)]
    pub restart: Restart,
    /// What it may use at most.
    #[serde(default)]
    pub limits: Limits,
    /// Whether it runs when the machine config does not mention it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long it has to end by itself before it is killed.
    #[serde(default = "ten")]
    pub stop_seconds: u32,
}

fn yes() -> bool {
    true
}

fn ten() -> u32 {
    10
}

impl Service {
    /// Returns how long the service has to end by itself.
    pub fn stop_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.stop_seconds))
    }
}

/// Says how to find out whether a service is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// The service takes connections on this Unix socket.
    pub socket: PathBuf,
    /// Seconds between checks.
    #[serde(default = "ten")]
    pub every_seconds: u32,
}

/// Says what to do when a service ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Restart {
    /// Start it again.
    #[default]
    Always,
    /// Start it again unless it said that all is well.
    OnFailure,
    /// Leave it.
    Never,
}

/// Says what a service may use at most: files of its cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Number of processes and threads.
    pub tasks: Option<u64>,
    /// Its share of a busy processor, against 100 for others.
    pub cpu_weight: Option<u32>,
}
