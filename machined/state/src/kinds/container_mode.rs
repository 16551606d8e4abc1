//! The container that a node is, when it is no machine.

use std::net::IpAddr;

use machine_config::value::{Host, HostName};
use serde::{Deserialize, Serialize};

use crate::Resource;

/// The container that machined is the first process of. Owned by `boot`; one, named `node`; a machine has none.
///
/// Kernel, clock and network are the host's then: what depends on it leaves them alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerMode {
    /// The program that started it, as it calls itself: `podman`.
    pub engine: String,
    /// The name that the engine gave it.
    pub hostname: Option<HostName>,
    /// The interfaces that the engine made and configured.
    pub interfaces: Vec<String>,
    /// The name servers that the engine named.
    pub nameservers: Vec<IpAddr>,
    /// The search domains that the engine named.
    pub search: Vec<Host>,
    /// What this node does without, one sentence each.
    pub missing: Vec<String>,
}

impl Resource for ContainerMode {
    const KIND: &'static str = "ContainerMode";
}
