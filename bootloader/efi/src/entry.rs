//! Where the firmware enters, and where a bug of ours ends.

use core::panic::PanicInfo;

use uefi::Status;

use crate::{boot, console, machine};

#[uefi::entry]
fn main() -> Status {
    boot::run()
}

/// A panic is a bug. The node must not stay down for it: say so, and try again.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::say!("internal error: {info}");
    machine::restart_later()
}
