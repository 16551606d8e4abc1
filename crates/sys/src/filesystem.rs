//! File systems: room, and writing back.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::{Context, Result};

/// Opens a file so that reading never waits: `O_NONBLOCK`, for `OpenOptionsExt::custom_flags`.
pub const NONBLOCK: i32 = nix::libc::O_NONBLOCK;

/// Opens a terminal without being given it: `O_NOCTTY`, for `OpenOptionsExt::custom_flags`.
pub const NO_TERMINAL: i32 = nix::libc::O_NOCTTY;

/// Tells how full a file system is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub total: u64,
    /// What is free, the reserve of root included.
    pub free: u64,
    /// What is free for everyone.
    pub available: u64,
}

/// Returns the room of the file system that holds `path`.
pub fn room(path: &Path) -> Result<Room> {
    let found = statvfs(path).context(|| format!("find the room of {}", path.display()))?;
    let unit = found.fragment_size();
    Ok(Room {
        total: found.blocks() * unit,
        free: found.blocks_free() * unit,
        available: found.blocks_available() * unit,
    })
}

/// Writes back everything that any file system still holds in memory.
pub fn sync() {
    nix::unistd::sync();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_room() {
        let room = room(Path::new("/")).unwrap();
        assert!(room.total >= room.free && room.free >= room.available && room.total > 0);
    }
}
