//! Locks on whole files that other programs honour: open file description locks, which QEMU also takes on disk images.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::{Context, Result};

/// Locks a file that is open for writing, from its first byte to the last possible one, until the file is closed.
///
/// Returns false when another program has locked any byte of it, even for reading. A file system without locks has none to
/// honour: there it returns true.
pub fn try_whole(file: &File) -> Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole())) {
        Ok(_) | Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(io::Error::from(error)).context(|| "lock an open file".to_owned()),
    }
}

/// Returns true if another program has locked any byte of an open file. Locks nothing itself.
pub fn is_held(file: &File) -> Result<bool> {
    let mut lock = whole();
    match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => Ok(i32::from(lock.l_type) != libc::F_UNLCK),
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(false),
        Err(error) => Err(io::Error::from(error)).context(|| "ask for the locks of an open file".to_owned()),
    }
}

fn whole() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_locked_once_until_it_is_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let first = open();
        assert!(try_whole(&first).unwrap());
        assert!(try_whole(&first).unwrap(), "one's own lock is no other's");
        let second = open();
        assert!(is_held(&second).unwrap() && !is_held(&first).unwrap());
        assert!(!try_whole(&second).unwrap());
        drop(first);
        assert!(!is_held(&second).unwrap());
        assert!(try_whole(&second).unwrap());
    }

    #[test]
    fn a_byte_that_is_locked_for_reading_is_enough() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // As QEMU does it: bytes from 100 on represent an emulator's use of its disk.
        let byte = libc::flock {
            l_type: libc::F_RDLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 100,
            l_len: 1,
            l_pid: 0,
        };
        let reader = File::open(file.path()).unwrap();
        fcntl(&reader, FcntlArg::F_OFD_SETLK(&byte)).unwrap();
        assert!(is_held(&File::open(file.path()).unwrap()).unwrap());
        let writer = File::options().write(true).open(file.path()).unwrap();
        assert!(!try_whole(&writer).unwrap());
    }
}
