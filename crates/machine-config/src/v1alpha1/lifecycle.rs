//! When a workload is healthy, and what happens when it ends. The doc comments here are the reference page: write them for users.

use serde::Serialize;

use crate::value::Period;

/// What to do when a workload ends. The pause before a new start grows from one second to a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum RestartPolicy {
    /// Start it again.
    #[default]
    Always,
    /// Start it again unless it ended with 0.
    OnFailure,
    /// Leave it.
    Never,
}

impl RestartPolicy {
    /// Every policy with its name.
    pub const ALL: [(&'static str, Self); 3] = [
        ("always", Self::Always),
        ("onFailure", Self::OnFailure),
        ("never", Self::Never),
    ];
}

/// How to find out whether a workload is healthy: exactly one of `command`, `http` and `tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadHealth {
    /// A program in the container, with its arguments, that ends with 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub command: Vec<String>,
    /// A page of the workload that answers with a status of 200 to 399. Needs `network.mode: bridge` or `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A port of the workload that takes connections. Needs `network.mode: bridge` or `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u32>,
    /// How long to wait between checks. 10 s if not given.
    #[serde(skip_serializing_if = "is_interval")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "interval"))]
    pub interval: Period,
    /// How long one check may take. 5 s if not given.
    #[serde(skip_serializing_if = "is_check_timeout")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "check_timeout"))]
    pub timeout: Period,
    /// How many checks in a row fail before it counts as unhealthy, and is started again. 3 if not given.
    #[serde(skip_serializing_if = "is_retries")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "retries"))]
    pub retries: u32,
}

/// A page that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct HttpCheck {
    /// The port on which it listens.
    pub port: u32,
    /// Its path. `/` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A signal that asks a workload to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StopSignal {
    /// Ends a program.
    Sigterm,
    /// As Control-C does.
    Sigint,
    /// As a closed terminal does.
    Sighup,
    /// As Control-\ does.
    Sigquit,
    /// Whatever the program makes of it.
    Sigusr1,
    /// Whatever the program makes of it.
    Sigusr2,
    /// Ends nginx and Apache once their requests are answered.
    Sigwinch,
    /// At once, without asking.
    Sigkill,
}

impl StopSignal {
    /// Every signal with its name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("SIGTERM", Self::Sigterm),
        ("SIGINT", Self::Sigint),
        ("SIGHUP", Self::Sighup),
        ("SIGQUIT", Self::Sigquit),
        ("SIGUSR1", Self::Sigusr1),
        ("SIGUSR2", Self::Sigusr2),
        ("SIGWINCH", Self::Sigwinch),
        ("SIGKILL", Self::Sigkill),
    ];

    /// Returns the signal's number, which is the same on all boards.
    pub fn number(self) -> u32 {
        match self {
            Self::Sighup => 1,
            Self::Sigint => 2,
            Self::Sigquit => 3,
            Self::Sigkill => 9,
            Self::Sigusr1 => 10,
            Self::Sigusr2 => 12,
            Self::Sigterm => 15,
            Self::Sigwinch => 28,
        }
    }
}

pub(super) fn interval() -> Period {
    Period::seconds(10)
}

fn is_interval(value: &Period) -> bool {
    *value == interval()
}

pub(super) fn check_timeout() -> Period {
    Period::seconds(5)
}

fn is_check_timeout(value: &Period) -> bool {
    *value == check_timeout()
}

pub(super) fn retries() -> u32 {
    3
}

fn is_retries(value: &u32) -> bool {
    *value == retries()
}
