//! The status of services.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// The status of one service. Owned by the controller `services`; named by the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceStatus {
    /// What it does.
    pub state: ServiceState,
    /// What its health check says.
    pub health: ServiceHealth,
    /// One sentence on the present state.
    pub message: String,
    /// Its main process while it runs.
    pub pid: Option<u32>,
    /// How often it was started again after it ended.
    pub restarts: u32,
    /// When the present state began, in milliseconds since the kernel started.
    pub since_ms: u64,
    /// The folder of its cgroup.
    pub cgroup: String,
    /// Set when definition, machine config and requests together want it to run.
    pub wanted: bool,
    /// How its main process ended last.
    pub last_exit: Option<String>,
    /// The memory it uses, in bytes, to the nearest MiB and not newer than a minute.
    pub memory_bytes: Option<u64>,
    /// What it has written to disks since the machine started, in bytes, to the nearest MiB and not newer than a minute.
    #[serde(default)]
    pub written_bytes: Option<u64>,
    /// What it has written to disks in the last hour, in the same way.
    #[serde(default)]
    pub written_last_hour_bytes: Option<u64>,
    /// What its main process may do, as the kernel said when it had started.
    #[serde(default)]
    pub rights: Option<Rights>,
}

impl Resource for ServiceStatus {
    const KIND: &'static str = "ServiceStatus";
}

impl ServiceStatus {
    /// Returns true if the service is as it should be: stopped when nobody wants it, else running and healthy.
    pub fn is_as_wanted(&self) -> bool {
        match (self.wanted, self.state) {
            (true, ServiceState::Running) => self.health == ServiceHealth::Healthy,
            // What has finished by itself has done what was wanted.
            (_, ServiceState::Stopped) => true,
            _ => false,
        }
    }
}

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceState {
    /// It waits for what it needs.
    Waiting,
    /// It has been started, and is not healthy yet.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end.
    Stopping,
    /// It is stopped, on request or because it ended for good.
    Stopped,
    /// It ended when it should not have, and waits for its next start.
    Failed,
}

/// What a health check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceHealth {
    /// Nothing yet.
    Unknown,
    /// It is healthy.
    Healthy,
    /// It is unhealthy.
    Unhealthy,
}

/// The rights of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rights {
    /// The number of its user; 0 is root.
    pub user: u32,
    /// Capabilities that it, and whatever it starts, can have.
    pub capabilities: Vec<String>,
    /// Set when what it starts gains nothing by a set-user-id bit.
    pub no_new_privileges: bool,
}
