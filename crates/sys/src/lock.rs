//! Locks on whole files that other programs honour: open file description locks, which QEMU also takes on disk images.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::{Context, Result};

/// Who has locked a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// The process of this number.
    Process(u32),
    /// A process that cannot be seen from here, or whoever has the open file.
    Unseen,
}

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

/// Returns who has locked any byte of an open file in its own name (`F_SETLK`), as QEMU does with its pidfile.
///
/// The kernel drops such a lock with the process, so that the number is never another process's.
pub fn holder(file: &File) -> Result<Holder> {
    let mut lock = whole();
    match fcntl(file, FcntlArg::F_GETLK(&mut lock)) {
        Ok(_) if i32::from(lock.l_type) == libc::F_UNLCK => Ok(Holder::Nobody),
        Ok(_) => Ok(match u32::try_from(lock.l_pid) {
            Ok(pid) if pid > 0 => Holder::Process(pid),
            _ => Holder::Unseen,
        }),
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(Holder::Nobody),
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
    fn the_process_that_holds_a_lock_is_known_until_it_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(holder(file.as_file()).unwrap(), Holder::Nobody);
        // A lock by an open file description belongs to no process.
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let other = open();
        assert!(try_whole(&other).unwrap());
        assert_eq!(holder(&open()).unwrap(), Holder::Unseen);
        drop(other);
        // flock(1) and others use another kind of lock: a program that takes this one is Python's `fcntl.lockf`.
        let script = "import fcntl, sys, time\nfile = open(sys.argv[1], 'r+')\nfcntl.lockf(file, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()";
        let child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(file.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            return;
        };
        let mut line = String::new();
        let mut said = io::BufReader::new(child.stdout.take().unwrap());
        io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "held\n");
        assert_eq!(holder(file.as_file()).unwrap(), Holder::Process(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(holder(file.as_file()).unwrap(), Holder::Nobody);
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
