//! The system's disk and its volumes.

use layout::Name;
use serde::{Deserialize, Serialize};

use crate::Resource;

/// The name of a volume.
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
            Volume::State => Name::State.as_str(),
            Volume::Data => Name::Data.as_str(),
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

/// The status of a volume. Owned by `storage`; named by its partition.
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

/// The state of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "phase")]
pub enum VolumeState {
    /// It is being looked for, formatted, or checked.
    Preparing,
    /// It is mounted.
    Ready {
        /// Set when it was made in this boot.
        formatted: bool,
        /// Set when its file system had to be repaired in this boot.
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
    /// Returns true if something is mounted.
    pub fn usable(&self) -> bool {
        matches!(self, VolumeState::Ready { .. } | VolumeState::Volatile { .. })
    }
}

/// The disk that the node was started from. Owned by `disk`; one, named `node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskStatus {
    /// The kernel's name of it.
    pub device: String,
    /// The GUID in its partition table, which no other disk should have.
    pub guid: String,
    /// What the hardware is called by its maker; none where it does not tell.
    pub serial: Option<String>,
    /// Other disks of this machine that are copies of it, by the kernel's names.
    pub copies: Vec<String>,
}

impl Resource for DiskStatus {
    const KIND: &'static str = "DiskStatus";
}

impl DiskStatus {
    /// Returns what a person should do something about.
    pub fn problem(&self) -> Option<String> {
        let copies = self.copies.join(" and ");
        (!copies.is_empty()).then(|| {
            format!(
                "{copies} holds a copy of this node's disk {}: remove it, or erase it if nothing on it matters",
                self.device
            )
        })
    }
}

/// How much room a volume has. Owned by `room`; named by the volume's partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoomStatus {
    /// What is free, in percent of the whole.
    pub free_percent: u64,
    /// Set when that is too little.
    pub full: bool,
}

impl Resource for RoomStatus {
    const KIND: &'static str = "RoomStatus";
}
