//! File systems: free space, and writing back.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::{Context, Result};

/// Opens a file so that reading never blocks: `O_NONBLOCK`, for `OpenOptionsExt::custom_flags`.
pub const NONBLOCK: i32 = nix::libc::O_NONBLOCK;

/// Opens a path only if its last part is no symbolic link: `O_NOFOLLOW`, for `OpenOptionsExt::custom_flags`.
pub const NOFOLLOW: i32 = nix::libc::O_NOFOLLOW;

/// Opens a path only if it is a folder: `O_DIRECTORY`, for `OpenOptionsExt::custom_flags`.
pub const DIRECTORY: i32 = nix::libc::O_DIRECTORY;

/// Opens a terminal without making it the controlling one: `O_NOCTTY`, for `OpenOptionsExt::custom_flags`.
pub const NO_TERMINAL: i32 = nix::libc::O_NOCTTY;

/// The space of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Total space.
    pub total: u64,
    /// Free space, including root's reserve.
    pub free: u64,
    /// Free space for everyone.
    pub available: u64,
}

/// Returns the space of the file system that contains `path`.
pub fn room(path: &Path) -> Result<Room> {
    let found = statvfs(path).context(|| format!("find the free space of {}", path.display()))?;
    let unit = found.fragment_size();
    Ok(Room {
        total: found.blocks() * unit,
        free: found.blocks_free() * unit,
        available: found.blocks_available() * unit,
    })
}

/// Writes back everything that any file system still has in memory.
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
