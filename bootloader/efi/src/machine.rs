//! Facts about the machine, and restarting it.

use core::time::Duration;

use manifest::Arch;
use uefi::runtime::{self, ResetType};
use uefi::{Status, boot};

use crate::console::say;

/// The architecture that this program was built for, which a kernel must match.
pub const ARCH: Arch = if cfg!(target_arch = "aarch64") {
    Arch::Arm64
} else {
    Arch::Amd64
};

/// Long enough to read the screen, short enough for an unattended node.
const PAUSE: Duration = Duration::from_secs(10);

/// Waits so that the last message can be read, then resets the machine.
pub fn restart_later() -> ! {
    say!("restarting in {} s", PAUSE.as_secs());
    boot::stall(PAUSE);
    restart()
}

/// Resets the machine now.
pub fn restart() -> ! {
    runtime::reset(ResetType::COLD, Status::SUCCESS, None)
}
