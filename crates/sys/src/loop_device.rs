// UNSAFETY: the loop driver's ioctl has no safe wrapper.
#![expect(unsafe_code)]
//! The file that a loop device stands on.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::{Context, Result};

/// The kernel's `struct loop_info64`: only what names the file is of interest.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rest: [u64; 27],
}

/// Kept in a module of their own: the macros make their functions public.
mod ioctls {
    nix::ioctl_read_bad!(status, 0x4c05, super::Info);
}

/// Returns device and inode of the file under a loop device: whatever its name, and whether it has one any more.
///
/// Fails for a loop device that stands on nothing.
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
    fn the_kernel_s_layout_is_kept_and_a_plain_file_is_refused() {
        assert_eq!(size_of::<Info>(), 232);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(backing_file(file.as_file()).is_err());
    }
}
