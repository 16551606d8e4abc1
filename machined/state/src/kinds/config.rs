//! The config as resources: the document itself, and how the node came by it.

use machine_config::MachineConfig;
use owner::Owner;
use serde::{Deserialize, Serialize};

use crate::Resource;

/// The accepted config; there is none in maintenance mode. Readers get its secrets, the API never does.
impl Resource for MachineConfig {
    const KIND: &'static str = "MachineConfig";
}

/// Where the config came from and what is still to happen with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigStatus {
    /// What the node does with its config now.
    pub phase: Phase,
    /// Counts the configs that took effect since the start.
    pub generation: u64,
    /// What is still to happen.
    pub pending: Option<Pending>,
    /// Configs that were found and could not be used, one line each.
    pub problems: Vec<String>,
}

impl Resource for ConfigStatus {
    const KIND: &'static str = "ConfigStatus";
}

impl ConfigStatus {
    /// Returns whether the node has no config, and none that takes effect with its next start.
    pub fn awaits_config(&self) -> bool {
        self.phase == Phase::Maintenance && self.pending.is_none()
    }
}

/// Whose the node is, also when its config is lost. Owned by `config`; one, named `node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnerStatus {
    /// Set when it is somebody's: it was configured once, and not reset since.
    pub owned: bool,
    /// The authorities whose certificates it obeys, in PEM, as far as they are known.
    pub authorities: Option<String>,
}

impl Resource for OwnerStatus {
    const KIND: &'static str = "OwnerStatus";
}

impl From<&Owner> for OwnerStatus {
    fn from(owner: &Owner) -> Self {
        OwnerStatus {
            owned: *owner != Owner::Nobody,
            authorities: match owner {
                Owner::Authorities(text) => Some(text.clone()),
                Owner::Nobody | Owner::Unknown => None,
            },
        }
    }
}

/// What the node does with its config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name")]
pub enum Phase {
    /// There is none: the API waits for one.
    Maintenance,
    /// The node was configured, and its config cannot be used. Only its owner may repair it.
    Locked {
        /// Why, fit for strangers.
        reason: String,
    },
    /// It is in effect.
    Running {
        /// Where it was found.
        source: Source,
    },
}

/// A place where a config can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The CONFIG partition, written when the medium was flashed.
    Medium,
    /// STATE, where a config was accepted earlier.
    State,
    /// A file that was mounted into the container that the node is.
    File,
    /// The API.
    Api,
    /// A platform outside the disk: an attached volume, or a service.
    Platform,
}

/// What is still to happen with a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "name")]
pub enum Pending {
    /// Another config takes effect with the next start.
    Staged,
    /// The node is about to restart, to make the accepted config true.
    Reboot,
    /// The config in effect is taken back unless it is applied for good.
    Trying {
        /// When, in milliseconds since the kernel started: the wall clock may be set meanwhile.
        deadline_uptime_ms: u64,
    },
}
