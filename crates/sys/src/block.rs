// UNSAFETY: the block layer's ioctls have no safe wrapper.
#![expect(unsafe_code)]
//! Block devices: size, and a partition table that changed under the kernel.

use std::ffi::c_void;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::{Context, Result};

/// `BLKPG_RESIZE_PARTITION` of `linux/blkpg.h`.
const RESIZE_PARTITION: i32 = 3;

/// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
#[repr(C)]
struct Request {
    op: i32,
    flags: i32,
    datalen: i32,
    data: *mut c_void,
}

/// `struct blkpg_partition` of `linux/blkpg.h`.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// In a module of their own, because the macro makes its functions public.
mod ioctls {
    use super::Request;

    nix::ioctl_write_ptr_bad!(blkpg, 0x1269, Request);
    nix::ioctl_none!(reread, 0x12, 95);
}

/// Returns a block device's or a file's size in bytes.
pub fn size(path: &Path) -> Result<u64> {
    let size = File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0)));
    size.context(|| format!("find the size of {}", path.display()))
}

/// Informs the kernel that a partition, possibly a mounted one, now has another end. The table is not changed.
pub fn resize_partition(disk: &Path, number: u32, start: u64, length: u64) -> Result<()> {
    let action = || format!("resize partition {number} of {}", disk.display());
    let file = File::open(disk).context(action)?;
    let mut partition = Partition {
        start: i64::try_from(start).map_err(too_large).context(action)?,
        length: i64::try_from(length).map_err(too_large).context(action)?,
        number: i32::try_from(number).map_err(too_large).context(action)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let datalen = i32::try_from(size_of::<Partition>()).expect("the struct has less than 200 bytes");
    let data = (&raw mut partition).cast::<c_void>();
    let request = Request {
        op: RESIZE_PARTITION,
        flags: 0,
        datalen,
        data,
    };
    // SAFETY: `request` and the `partition` it points to outlive the call, and have the kernel's layout and sizes.
    unsafe { ioctls::blkpg(file.as_raw_fd(), &raw const request) }.context(action)?;
    Ok(())
}

/// Informs the kernel of partitions that changed.
pub trait Resize: Send + Sync {
    /// Informs the kernel that a partition, possibly a mounted one, now has this extent, in bytes.
    fn resize(&self, disk: &Path, number: u32, start: u64, length: u64) -> Result<()>;
}

/// The kernel itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxResize;

impl Resize for LinuxResize {
    fn resize(&self, disk: &Path, number: u32, start: u64, length: u64) -> Result<()> {
        resize_partition(disk, number, start, length)
    }
}

/// Records number, start and length of partitions that were to be resized.
#[derive(Debug, Default)]
pub struct RecordingResize {
    /// The calls, in order.
    pub calls: Mutex<Vec<(u32, u64, u64)>>,
}

impl Resize for RecordingResize {
    fn resize(&self, _disk: &Path, number: u32, start: u64, length: u64) -> Result<()> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((number, start, length));
        Ok(())
    }
}

/// Makes the kernel read a disk's partition table again. Refused while one of its partitions is in use.
pub fn reread_partitions(disk: &impl AsFd) -> Result<()> {
    // SAFETY: the ioctl takes no argument; the descriptor is open for the whole call.
    unsafe { ioctls::reread(disk.as_fd().as_raw_fd()) }
        .context(|| "re-read the partition table".to_owned())?;
    Ok(())
}

fn too_large(_: std::num::TryFromIntError) -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_match_the_kernel() {
        assert_eq!(size_of::<Partition>(), 152);
        assert_eq!(size_of::<Request>(), 24);
    }

    #[test]
    fn a_file_has_a_size_and_the_error_names_a_missing_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(12345).unwrap();
        assert_eq!(size(file.path()).unwrap(), 12345);
        assert_eq!(
            size(Path::new("/nowhere")).unwrap_err().to_string(),
            "cannot find the size of /nowhere"
        );
    }

    #[test]
    fn a_plain_file_has_no_partitions() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(reread_partitions(file.as_file()).is_err());
        assert!(resize_partition(file.path(), 7, 0, 512).is_err());
    }
}
