//! The firmware's watchdog, for a loader or kernel that hangs before it leaves the firmware.

use uefi::boot;

use crate::console::say;

/// How long nothing may come forward: not the loading of a slot, which feeds the timer with each piece, but one piece of it,
/// or the start of the kernel, whose first act is to leave the firmware, which disarms the timer.
const LIMIT_SECONDS: usize = 180;

/// Codes up to 0xffff are the firmware's own.
const CODE: u64 = 0x1_0000;

/// Starts the timer. Firmware without a watchdog is reported, and used nevertheless.
pub fn arm() {
    if let Err(error) = set() {
        say!("no firmware watchdog: {}", error.status());
    }
}

/// Starts the timer again, since there is progress. What [`arm`] has reported is not reported again.
pub fn feed() {
    set().ok();
}

fn set() -> uefi::Result {
    boot::set_watchdog_timer(LIMIT_SECONDS, CODE, None)
}
