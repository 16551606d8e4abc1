//! Reads what is said of the firmware.

use crate::decode::Cursor;
use crate::v1alpha1::{Firmware, FirmwareUpgrade};

/// The most lines: with the release's own, the file stays small enough for every firmware.
const LINES: usize = 64;

pub(super) fn firmware(cursor: Cursor<'_>) -> Option<Firmware> {
    let mut o = cursor.object()?;
    let config = o.field("config").map(|c| {
        let lines = c.clone().list_of();
        if lines.len() > LINES {
            c.fault(format!("has {} lines; at most {LINES} are possible", lines.len()));
        }
        lines
    });
    let upgrade = o.field("upgrade").and_then(|c| c.choice(&FirmwareUpgrade::ALL));
    o.finish();
    Some(Firmware {
        config: config.unwrap_or_default(),
        upgrade: upgrade.unwrap_or_default(),
    })
}
