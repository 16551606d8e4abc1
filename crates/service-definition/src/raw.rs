//! The written form: what serde reads and writes. Nothing here is checked beyond its type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Size;

/// A program that machined keeps running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The service's name.
    pub name: String,
    /// The program, absolute, and its arguments.
    pub command: Vec<String>,
    /// Environment variables; nothing else is in its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Who it runs as; root if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What it may do beyond what its user may, by the kernel's names without `CAP_`: `NET_ADMIN`. It, and all that it starts,
    /// can have nothing else, also as root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Whether programs that it starts gain nothing by a set-user-id bit or by capabilities of their file.
    #[serde(default = "yes")]
    pub no_new_privileges: bool,
    /// Files and folders that it sees read-only, with everything below; absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only_paths: Vec<String>,
    /// Whether it has a `/tmp` and a `/var/tmp` of its own, empty at each start and kept in memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub private_tmp: bool,
    /// Folders that are made before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<FolderToMake>,
    /// Services it cannot do without: they must be well before it starts, and it is stopped before they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Services that go first when they run at all. One that is off, or not in the image, is not waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// How to find out whether it is well; without one it is well while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
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
    /// Which of its processes end with it.
    #[serde(default)]
    pub kill_mode: KillMode,
    /// How gladly the kernel ends it when memory runs out: -1000 (never) to 1000 (first).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_score_adj: i16,
}

/// Who a service runs as. The number stands beside the name, and so never changes under the user's files; the group has the
/// same name and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The user's number, 1 to 999: one for each name.
    pub id: u32,
}

/// A folder that is made before a service starts, and belongs to the service's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FolderToMake {
    /// The folder, absolute.
    pub path: String,
    /// Its mode in octal, in quotes: `"0750"`.
    #[serde(default = "mode_0755")]
    pub mode: String,
}

/// How to find out whether a service is well: exactly one of `cri`, `socket`, `tcp`, `http` and `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// It is a container runtime that is ready for pods, by what it answers on this Unix socket. The network for pods is
    /// not asked for: a pod on the node's own network needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cri: Option<String>,
    /// It takes connections on this Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// It takes connections on this address: `127.0.0.1:2379`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// It answers this address with a status of 200 to 399: `http://127.0.0.1:10248/healthz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// This program, absolute, with these arguments, returns 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// Seconds between checks.
    #[serde(default = "ten")]
    pub every_seconds: u32,
    /// Seconds that one check may take.
    #[serde(default = "five")]
    pub timeout_seconds: u32,
    /// Checks that fail in a row before the service counts as unwell.
    #[serde(default = "three")]
    pub failures: u32,
    /// What to do then.
    #[serde(default)]
    pub unhealthy: Unhealthy,
}

/// Has every number as if it were not written, and none of the ways to ask.
impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            cri: None,
            socket: None,
            tcp: None,
            http: None,
            exec: None,
            every_seconds: ten(),
            timeout_seconds: five(),
            failures: three(),
            unhealthy: Unhealthy::default(),
        }
    }
}

/// What to do with a service that runs and is not well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Unhealthy {
    /// Say so, and leave it alone: a busy card makes a healthy service slow.
    #[default]
    Report,
    /// Say so, stop it, and start it again after a pause.
    Restart,
}

/// What to do when a service ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Which processes of a service end with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum KillMode {
    /// All of them: nothing of it is left.
    #[default]
    Cgroup,
    /// The main one only: what it started lives on, as containers do while containerd is started anew.
    Process,
}

/// What a service may use at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Number of processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Its share of a busy processor, against 100 for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u32>,
    /// Its share of a busy disk, against 100 for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<u32>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

impl Service {
    /// Makes a service with the given name and command, and everything else as if it were not written.
    pub fn new(name: impl Into<String>, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Service {
            name: name.into(),
            command: command.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            user: None,
            capabilities: Vec::new(),
            no_new_privileges: true,
            read_only_paths: Vec::new(),
            private_tmp: false,
            directories: Vec::new(),
            depends_on: Vec::new(),
            after: Vec::new(),
            health: None,
            restart: Restart::default(),
            limits: Limits::default(),
            enabled: true,
            stop_seconds: ten(),
            kill_mode: KillMode::default(),
            oom_score_adj: 0,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

fn three() -> u32 {
    3
}

fn five() -> u32 {
    5
}

fn ten() -> u32 {
    10
}

fn mode_0755() -> String {
    "0755".to_owned()
}

fn is_zero(number: &i16) -> bool {
    *number == 0
}
