//! The firmware's entry point, and the panic handler.

use core::panic::PanicInfo;

use uefi::Status;

use crate::{boot, console, machine};

#[uefi::entry]
fn main() -> Status {
    boot::run()
}

/// A panic is a bug. The node must not stay down because of it: it is reported, and the machine restarts.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::say!("internal error: {info}");
    machine::restart_later()
}
