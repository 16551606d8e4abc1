// UNSAFETY: the block layer's ioctls have no safe wrapper.
#![expect(unsafe_code)]
//! A disk that is written from end to end: opening it exclusively, its properties, and reading past the cache.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{major, minor};

use crate::{Context, Result};

/// In a module of their own, because the macros make their functions public.
mod ioctls {
    nix::ioctl_none!(flush_buffers, 0x12, 97);
    nix::ioctl_read_bad!(read_only, 0x125e, nix::libc::c_int);
    nix::ioctl_read_bad!(sector_size, 0x1268, nix::libc::c_int);
    nix::ioctl_write_ptr_bad!(discard, 0x1277, [u64; 2]);
}

/// Opens a whole disk for reading and writing, exclusively.
///
/// The kernel refuses (busy) while the disk, or any partition of it, is mounted, used as swap, or held by another
/// device; and it keeps others from mounting it while the file is open.
pub fn open_exclusively(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_EXCL.bits())
        .open(path)
        .context(|| format!("open {} exclusively", path.display()))
}

/// Returns the major and minor number of the block device that an open file is; `None` for other files.
pub fn number(file: &File) -> Result<Option<(u64, u64)>> {
    let facts = file.metadata().context(|| "inspect an open file".to_owned())?;
    Ok(facts
        .file_type()
        .is_block_device()
        .then(|| (major(facts.rdev()), minor(facts.rdev()))))
}

/// Returns true if a block device refuses writes.
pub fn is_read_only(disk: &File) -> Result<bool> {
    let mut answer = 0;
    // SAFETY: the ioctl writes one int, for which `answer` has room.
    unsafe { ioctls::read_only(disk.as_raw_fd(), &raw mut answer) }
        .context(|| "ask whether the disk is read-only".to_owned())?;
    Ok(answer != 0)
}

/// Returns the bytes in a logical sector of a block device.
pub fn sector_size(disk: &File) -> Result<u64> {
    let mut answer = 0;
    // SAFETY: the ioctl writes one int, for which `answer` has room.
    unsafe { ioctls::sector_size(disk.as_raw_fd(), &raw mut answer) }
        .context(|| "ask for the disk's sector size".to_owned())?;
    Ok(u64::try_from(answer).unwrap_or(0))
}

/// Drops the cache of a file or disk, so that the next read comes from the medium. Sync first.
pub fn drop_cache(file: &File) -> Result<()> {
    if number(file)?.is_some() {
        // SAFETY: the ioctl takes no argument; the descriptor is open for the whole call.
        unsafe { ioctls::flush_buffers(file.as_raw_fd()) }
            .context(|| "drop the disk's cached blocks".to_owned())?;
    }
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        .context(|| "drop the file's cached pages".to_owned())
}

/// Opens a file or disk once more, to be read past every cache of the host (`O_DIRECT`): offsets, lengths and buffers must then be
/// whole sectors. `None` where the file system cannot do that.
pub fn reopen_direct(file: &File) -> Result<Option<File>> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_DIRECT.bits())
        .open(path);
    match opened {
        Ok(direct) => Ok(Some(direct)),
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => Ok(None),
        Err(error) => Err(error).context(|| "open the medium for reading past the cache".to_owned()),
    }
}

/// Discards a range of a disk: faster writes later, less wear. Reads there are undefined afterwards.
pub fn discard(disk: &File, start: u64, len: u64) -> Result<()> {
    // SAFETY: the ioctl reads two u64, a start and a length, which is what it is given.
    unsafe { ioctls::discard(disk.as_raw_fd(), &[start, len]) }
        .context(|| format!("discard {len} bytes at byte {start}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_not_a_disk_but_has_a_cache() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(number(file.as_file()).unwrap(), None);
        drop_cache(file.as_file()).unwrap();
        assert!(is_read_only(file.as_file()).is_err());
        assert!(sector_size(file.as_file()).is_err());
        assert!(discard(file.as_file(), 0, 512).is_err());
    }

    #[test]
    fn opening_names_the_path() {
        let error = open_exclusively(Path::new("/nowhere")).unwrap_err();
        assert_eq!(error.to_string(), "cannot open /nowhere exclusively");
    }
}
