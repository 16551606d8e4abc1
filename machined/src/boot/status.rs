//! What is known about this boot and about the slots, as resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slots::{Reason, Slot, SlotState, Version};

use super::Cmdline;
use crate::logs::uptime_ms;
use crate::resource::{Resource, Store};

/// The one name under which a single resource of its kind is found.
pub const ID: &str = "node";
const OWNER: &str = "boot";

/// Tells how this boot came about and how long its steps took. Owned by `boot`; one, named `node`.
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

/// Is a slot that the loader refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailedSlot {
    /// The slot.
    pub slot: Slot,
    /// Why, as a sentence.
    pub reason: String,
}

/// Tells how long firmware and loader took, in milliseconds.
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

/// Tells what is in one slot. Owned by `slots`; named `a` and `b`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotStatus {
    /// What the slot record says of it.
    pub state: SlotState,
    /// Version in the slot's manifest, if it has one.
    pub version: Option<Version>,
    /// Whether the loader tries it first.
    pub preferred: bool,
    /// Whether this system was started from it.
    pub running: bool,
    /// The lowest version that may be started.
    pub floor: Version,
}

impl Resource for SlotStatus {
    const KIND: &'static str = "SlotStatus";
}

/// Stamps the moments of a boot into [`BootStatus`]. Clones share it.
#[derive(Clone)]
pub struct Stamps {
    store: Store,
}

impl Stamps {
    /// Publishes what the loader told and the moments that are known already.
    pub fn start(store: &Store, cmdline: &Cmdline, boot_id: String, stamps: BTreeMap<String, u64>) -> Self {
        let status = BootStatus {
            stamps,
            boot_id,
            ..status(cmdline)
        };
        put(store, status);
        Stamps { store: store.clone() }
    }

    /// Stamps a moment. Only the first time counts.
    pub fn mark(&self, moment: &str) {
        let mut status: BootStatus = self.store.get(ID).unwrap_or_default();
        if !status.stamps.contains_key(moment) {
            status.stamps.insert(moment.to_owned(), uptime_ms());
            put(&self.store, status);
        }
    }
}

fn put(store: &Store, status: BootStatus) {
    if let Err(conflict) = store.put(OWNER, ID, status) {
        tracing::error!("{conflict}");
    }
}

/// Turns the loader's arguments into a status without moments.
fn status(cmdline: &Cmdline) -> BootStatus {
    let failed = cmdline.failed.iter().map(|&(slot, code)| FailedSlot {
        slot,
        reason: Reason::from_code(code).to_string(),
    });
    let times = |[total_ms, verify_ms, firmware_ms]: [u64; 3]| LoaderTimes {
        total_ms,
        verify_ms,
        firmware_ms,
    };
    BootStatus {
        slot: cmdline.slot,
        cause: cmdline.cause.clone(),
        manifest: cmdline.manifest.clone(),
        disk: cmdline.disk.clone(),
        failed: failed.collect(),
        loader: cmdline.loader.map(times),
        ..BootStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_stamped_once() {
        let store = Store::new();
        let cmdline =
            crate::boot::cmdline::parse("bedplate.slot=a bedplate.failed=b:250 bedplate.loader=3,2,1");
        let stamps = Stamps::start(
            &store,
            &cmdline,
            "id".into(),
            BTreeMap::from([("initramfs".into(), 7)]),
        );
        stamps.mark("initramfs");
        stamps.mark("api");
        let status: BootStatus = store.get(ID).unwrap();
        assert_eq!(status.stamps["initramfs"], 7);
        assert!(status.stamps.contains_key("api"));
        assert_eq!(
            status.loader,
            Some(LoaderTimes {
                total_ms: 3,
                verify_ms: 2,
                firmware_ms: 1
            })
        );
        assert_eq!(status.failed[0].slot, Slot::B);
    }
}
