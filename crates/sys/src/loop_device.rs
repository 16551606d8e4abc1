// UNSAFETY: the loop driver's ioctl has no safe wrapper.
#![expect(unsafe_code)]
//! The backing file of a loop device.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::{Context, Result};

/// The kernel's `struct loop_info64`: only the fields that identify the file are used.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rest: [u64; 27],
}

/// In a module of their own, because the macros make their functions public.
mod ioctls {
    nix::ioctl_read_bad!(status, 0x4c05, super::Info);
}

/// Returns device and inode of a loop device's backing file, whatever its name, and even if it has none any more.
///
/// Fails for a loop device without a backing file.
pub fn backing_file(device: &File) -> Result<(u64, u64)> {
    let mut info = Info {
        device: 0,
        inode: 0,
        rest: [0; 27],
    };
    // SAFETY: the ioctl writes a `loop_info64`, which is 232 bytes long, and so is `Info`.
    unsafe { ioctls::status(device.as_raw_fd(), &raw mut info) }
        .context(|| "ask a loop device for its file".to_owned())?;
    Ok((info.device, info.inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_matches_the_kernel_and_a_regular_file_is_refused() {
        assert_eq!(size_of::<Info>(), 232);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(backing_file(file.as_file()).is_err());
    }
}
