//! A service as a board or overlay gives it, and as machined reads it in `release.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files::TargetPath;
use crate::names::{ByteSize, Name};

/// A program that machined keeps running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The service's name.
    pub name: Name,
    /// The program, absolute, and its arguments.
    pub command: Vec<String>,
    /// Environment variables; nothing else is in its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Services that must be healthy before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
    /// How to find out whether it is well; without one it is well while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What to do when it ends.
    #[serde(default)]
    pub restart: Restart,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Whether it runs when the machine config does not mention it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Seconds it has to end by itself before it is killed.
    #[serde(default = "ten")]
    pub stop_seconds: u32,
}

/// How to find out whether a service is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// The service takes connections on this Unix socket.
    pub socket: TargetPath,
    /// Seconds between checks.
    #[serde(default = "ten")]
    pub every_seconds: u32,
}

/// What to do when a service ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What a service may use at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_bytes")]
    pub memory: Option<ByteSize>,
    /// Number of processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Its share of a busy processor, against 100 for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u32>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

/// People write a size with its unit; machined reads plain bytes.
fn as_bytes<S: serde::Serializer>(size: &Option<ByteSize>, serializer: S) -> Result<S::Ok, S::Error> {
    match size {
        Some(size) => serializer.serialize_u64(size.0),
        None => serializer.serialize_none(),
    }
}

fn yes() -> bool {
    true
}

fn ten() -> u32 {
    10
}
