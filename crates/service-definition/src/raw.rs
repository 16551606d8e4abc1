//! The written form, as serde reads and writes it. Only types are checked here.

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
    /// The user it runs as; root if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Capabilities beyond those of its user, by the kernel's names without `CAP_`: `NET_ADMIN`. The service, and everything
    /// it starts, can have no others, not even as root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Set when programs it starts gain no privileges from set-user-id bits or file capabilities.
    #[serde(default = "yes")]
    pub no_new_privileges: bool,
    /// Files and directories that it sees read-only, with everything below; absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only_paths: Vec<String>,
    /// Set when it has its own `/tmp` and `/var/tmp`, empty at each start and kept in memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub private_tmp: bool,
    /// Directories that are created before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<FolderToMake>,
    /// Services it requires: they must be healthy before it starts, and it is stopped before they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Services that start first if they run at all. One that is disabled, or not in the image, is not waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// How to find out whether it is healthy; without a check it is healthy while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// What to do when it exits.
    #[serde(default)]
    pub restart: Restart,
    /// Its resource limits.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Set when it runs unless the machine config turns it off.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Seconds it has to exit before it is killed.
    #[serde(default = "ten")]
    pub stop_seconds: u32,
    /// Which of its processes are stopped with it.
    #[serde(default)]
    pub kill_mode: KillMode,
    /// How readily the kernel kills it when memory runs out: -1000 (never) to 1000 (first).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_score_adj: i16,
}

/// The user that a service runs as. The number is written next to the name, so it never changes under the user's files;
/// the group has the same name and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The user's number, 1 to 999: unique per name.
    pub id: u32,
}

/// A directory that is created before a service starts, owned by the service's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FolderToMake {
    /// The path, absolute.
    pub path: String,
    /// Its mode in octal, quoted: `"0750"`.
    #[serde(default = "mode_0755")]
    pub mode: String,
}

/// How to find out whether a service is healthy: exactly one of `cri`, `socket`, `tcp`, `http` and `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// The container runtime that answers on this Unix socket is ready for pods. The pod network is not required: a pod
    /// on the node's own network does not need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cri: Option<String>,
    /// The service accepts connections on this Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The service accepts connections on this address: `127.0.0.1:2379`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// The service answers this address with a status of 200 to 399: `http://127.0.0.1:10248/healthz`. An `https://` address
    /// needs `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Whom to trust at an `https://` address, and as whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<HealthTls>,
    /// This program, absolute, with these arguments, exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// Seconds between checks.
    #[serde(default = "ten")]
    pub every_seconds: u32,
    /// Seconds that one check may take.
    #[serde(default = "five")]
    pub timeout_seconds: u32,
    /// Failed checks in a row before the service counts as unhealthy.
    #[serde(default = "three")]
    pub failures: u32,
    /// What to do then.
    #[serde(default)]
    pub unhealthy: Unhealthy,
}

/// The files in PEM that a health check over TLS needs. They are read at each check, so they may be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthTls {
    /// The CAs whose certificates are trusted, for the address that is asked; absolute.
    pub ca: String,
    /// A client certificate, with `key`; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The key of the client certificate; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The default of every number, and no kind of check.
impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            cri: None,
            socket: None,
            tcp: None,
            http: None,
            tls: None,
            exec: None,
            every_seconds: ten(),
            timeout_seconds: five(),
            failures: three(),
            unhealthy: Unhealthy::default(),
        }
    }
}

/// What to do with a service that runs and is unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Unhealthy {
    /// Report it, and leave the service alone: a busy card makes a healthy service slow.
    #[default]
    Report,
    /// Report it, stop the service, and start it again after a pause.
    Restart,
}

/// What to do when a service exits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Restart {
    /// Start it again.
    #[default]
    Always,
    /// Start it again unless it exited with 0.
    OnFailure,
    /// Leave it stopped.
    Never,
}

/// Which processes of a service are stopped with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum KillMode {
    /// All of them.
    #[default]
    Cgroup,
    /// Only the main process: what it started stays, as containers do while containerd restarts.
    Process,
}

/// The resource limits of a service.
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
    /// Its share of a busy processor; the default is 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u32>,
    /// Its share of a busy disk; the default is 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<u32>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

impl Service {
    /// Makes a service with the given name and command; everything else has its default.
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
