//! How the clock is kept.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// How the clock is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeStatus {
    /// Set when the clock follows a server.
    pub synchronised: bool,
    /// Where the time came from.
    pub source: TimeFrom,
    /// The server that is followed; none when the clock follows nobody.
    pub server: Option<String>,
    /// How far the clock was off when a server was last asked, in nanoseconds: positive when it was slow.
    pub offset_nanos: i64,
    /// When a server last answered, in seconds since 1970; none if none has.
    pub last_sync_unix: Option<u64>,
    /// The servers that are asked.
    pub servers: Vec<String>,
    /// Who named them.
    pub servers_from: Origin,
    /// Why the clock follows nobody, or no longer.
    pub reason: Option<String>,
}

impl Resource for TimeStatus {
    const KIND: &'static str = "TimeStatus";
}

/// Where the time came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TimeFrom {
    /// A time server.
    Ntp,
    /// A clock in the machine, which the kernel read.
    Rtc,
    /// The host of the container that the node is.
    Host,
    /// The last time that was saved: the true one is later.
    Saved,
    /// The image's age: the true one is later.
    Build,
    /// Nobody: the clock started in 1970.
    #[default]
    None,
}

/// Who named the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The machine config.
    Config,
    /// A DHCP server.
    Dhcp,
    /// Nobody.
    Default,
}
