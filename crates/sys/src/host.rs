//! The host's name and kernel.

use nix::sys::utsname::uname;

use crate::{Context, Result};

/// Sets the kernel's host name.
pub fn set_name(name: &str) -> Result<()> {
    nix::unistd::sethostname(name).context(|| format!("set the host name to {name}"))
}

/// Returns the kernel's host name.
pub fn name() -> String {
    uname()
        .map(|names| names.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Returns the kernel's release, which is also the name of its module directory.
pub fn kernel_release() -> String {
    uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}
