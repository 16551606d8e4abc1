//! The host's name and kernel.

use nix::sys::utsname::uname;

use crate::{Context, Result};

/// Sets the name the kernel gives for this machine.
pub fn set_name(name: &str) -> Result<()> {
    nix::unistd::sethostname(name).context(|| format!("set the host name to {name}"))
}

/// Returns the name the kernel gives for this machine.
pub fn name() -> String {
    uname()
        .map(|names| names.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Returns the kernel's release, which is also the name of its module folder.
pub fn kernel_release() -> String {
    uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}
