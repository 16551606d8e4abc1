//! Named pipes.

use std::path::Path;

use nix::sys::stat::Mode;

use crate::{Context as _, Result};

/// Makes a named pipe that only its owner can open.
///
/// # Errors
///
/// The kernel's error, also when something is there already.
pub fn make(path: &Path) -> Result<()> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)
        .context(|| format!("make the named pipe {}", path.display()))
}
