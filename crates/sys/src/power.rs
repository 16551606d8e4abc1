//! Stopping the machine.

use std::convert::Infallible;

use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};

use crate::{Context, Result};

/// Restarts the machine at once. Data that was not written back is lost. Returns only when the kernel refuses.
pub fn restart() -> Result<Infallible> {
    reboot(RebootMode::RB_AUTOBOOT).context(|| "restart the machine".to_owned())
}

/// Powers the machine off at once. Data that was not written back is lost. Returns only when the kernel refuses.
pub fn off() -> Result<Infallible> {
    reboot(RebootMode::RB_POWER_OFF).context(|| "power the machine off".to_owned())
}

/// Makes Ctrl-Alt-Del a signal to PID 1 instead of an immediate restart.
pub fn signal_on_ctrl_alt_del() -> Result<()> {
    set_cad_enabled(false).context(|| "take over Ctrl-Alt-Del".to_owned())
}
