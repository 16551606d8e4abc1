//! What is known about this boot and about the slots, as resources.

use std::collections::BTreeMap;

use slots::Reason;
use state::Store;
use state::kinds::{BootStatus, FailedSlot, LoaderTimes, NODE};

use super::Cmdline;
use crate::logs::uptime_ms;

const OWNER: &str = "boot";

/// The moments of a boot, published as [`BootStatus`]. Clones share them.
#[derive(Clone)]
pub struct Stamps {
    store: Store,
}

impl Stamps {
    /// Publishes what the loader reported and the moments that are known already.
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
        let mut status: BootStatus = self.store.get(NODE).unwrap_or_default();
        if !status.stamps.contains_key(moment) {
            status.stamps.insert(moment.to_owned(), uptime_ms());
            put(&self.store, status);
        }
    }
}

fn put(store: &Store, status: BootStatus) {
    if let Err(conflict) = store.put(OWNER, NODE, status) {
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
    use slots::Slot;
    use state::kinds::NODE;

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
        let status: BootStatus = store.get(NODE).unwrap();
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
