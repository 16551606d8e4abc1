//! The two volumes of a node, and how they are.

use serde::{Deserialize, Serialize};

use crate::resource::Resource;

/// Names a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// Identity, keys, accepted machine config.
    State,
    /// Containers, logs, and everything else that a node may lose.
    Data,
}

impl Volume {
    /// Lists the volumes in the order in which they are mounted: STATE lies within DATA.
    pub const ALL: [Volume; 2] = [Volume::Data, Volume::State];

    /// Returns the partition's name, which is also the name of the resource.
    pub const fn partition(self) -> &'static str {
        match self {
            Volume::State => "STATE",
            Volume::Data => "DATA",
        }
    }

    /// Returns where it is mounted.
    pub const fn target(self) -> &'static str {
        match self {
            Volume::State => "/var/lib/bedplate",
            Volume::Data => "/var",
        }
    }
}

/// Tells how a volume is. Owned by `storage`; named by its partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeStatus {
    /// Where it is mounted.
    pub target: String,
    /// The device, once it is found.
    pub device: Option<String>,
    /// Its length in bytes, once it is found.
    pub size: u64,
    /// How it is.
    pub state: VolumeState,
}

impl Resource for VolumeStatus {
    const KIND: &'static str = "VolumeStatus";
}

/// Says how a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "phase")]
pub enum VolumeState {
    /// It is being looked for, formatted, or checked.
    Preparing,
    /// It is mounted.
    Ready {
        /// Whether it was made in this boot.
        formatted: bool,
        /// Whether its file system had to be repaired in this boot.
        repaired: bool,
    },
    /// Memory stands in for it: what is written is lost at the next start.
    Volatile {
        /// Why.
        reason: String,
    },
    /// It cannot be used; it is tried again.
    Failed {
        /// Why.
        error: String,
    },
}

impl VolumeState {
    /// Tells whether something is mounted.
    pub fn usable(&self) -> bool {
        matches!(self, VolumeState::Ready { .. } | VolumeState::Volatile { .. })
    }
}
