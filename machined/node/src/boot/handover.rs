//! What the initramfs hands over to PID 1 of the root.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where it is left.
const HANDOVER: &str = "/run/bedplate/initramfs.json";

/// What stage 1 passes to PID 1 of the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Moments, in milliseconds since the kernel started.
    pub stamps: BTreeMap<String, u64>,
    /// What went wrong on the way without stopping it.
    pub warnings: Vec<String>,
    /// The number of the watchdog, which runs; none where the machine has none.
    #[serde(default)]
    pub watchdog: Option<i32>,
    /// The kernel's sequence number of the disk that the root was opened on.
    #[serde(default)]
    pub disk: Option<u64>,
}

impl Handover {
    /// Reads what stage 1 left. Started without an initramfs of ours, there is nothing.
    pub fn read() -> Handover {
        let text = fs::read_to_string(HANDOVER).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Tells whether stage 1 left something.
    pub fn is_left() -> bool {
        Path::new(HANDOVER).exists()
    }

    /// Leaves it where the next stage looks. Without it that stage only knows less.
    pub fn leave(&self) {
        let path = Path::new(HANDOVER);
        let text = serde_json::to_string(self).unwrap_or_default();
        let _told_less = path
            .parent()
            .map(fs::create_dir_all)
            .transpose()
            .and_then(|_| fs::write(path, text));
    }
}
