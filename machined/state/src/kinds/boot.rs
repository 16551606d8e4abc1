//! How the node was started, and what is in its slots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slots::{Slot, SlotState, Version};

use crate::Resource;

/// How this boot came about and how long its steps took. Owned by `boot`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootStatus {
    /// The slot that runs; none when the machine was started without the loader.
    pub slot: Option<Slot>,
    /// Why the loader chose it: `preferred`, `trial`, `fallback` or `menu`.
    pub cause: Option<String>,
    /// SHA-256 of the manifest that the loader verified, in hex.
    pub manifest: Option<String>,
    /// GUID of the system's disk.
    pub disk: Option<String>,
    /// Slots that the loader refused, and why.
    pub failed: Vec<FailedSlot>,
    /// Time before the kernel.
    pub loader: Option<LoaderTimes>,
    /// Moments of this boot, in milliseconds since the kernel started: `initramfs`, `root`, `mounts`, `storage`,
    /// `network`, `api`, `services`.
    pub stamps: BTreeMap<String, u64>,
    /// Identifies this boot.
    pub boot_id: String,
}

impl Resource for BootStatus {
    const KIND: &'static str = "BootStatus";
}

/// A slot that the loader refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailedSlot {
    /// The slot.
    pub slot: Slot,
    /// Why, as a sentence.
    pub reason: String,
}

/// How long firmware and loader took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoaderTimes {
    /// In the loader.
    pub total_ms: u64,
    /// Of that, verifying.
    pub verify_ms: u64,
    /// In the firmware, before the loader.
    pub firmware_ms: u64,
}

/// What is in one slot. Owned by `slots`; named `a` and `b`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotStatus {
    /// What the slot record says of it.
    pub state: SlotState,
    /// Version in the slot's manifest, if it has one.
    pub version: Option<Version>,
    /// Set when the loader tries it first.
    pub preferred: bool,
    /// Set when this system was started from it.
    pub running: bool,
    /// The lowest version that may be started.
    pub floor: Version,
}

impl Resource for SlotStatus {
    const KIND: &'static str = "SlotStatus";
}
