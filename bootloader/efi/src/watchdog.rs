//! The firmware's watchdog, for a loader or kernel that hangs before it leaves the firmware.

use uefi::boot;

use crate::console::say;

/// Enough for the slowest medium we know; the kernel's first act is to leave the firmware, which disarms it.
const LIMIT_SECONDS: usize = 180;

/// Codes up to 0xffff are the firmware's own.
const CODE: u64 = 0x1_0000;

/// Restarts the timer. Firmware without a watchdog is reported once, and used nevertheless.
pub fn arm() {
    if let Err(error) = boot::set_watchdog_timer(LIMIT_SECONDS, CODE, None) {
        say!("no firmware watchdog: {}", error.status());
    }
}
