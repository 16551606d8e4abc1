// UNSAFETY: what a child does between fork and exec can only be said in an unsafe closure, and capabilities have no safe
// wrapper in the crate nix.
#![expect(unsafe_code)]
//! Restricts a program before it starts: its own mounts, a user, capabilities.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;

use crate::{Context, Result};

/// The highest number in a set of capabilities.
const LAST: u32 = u64::BITS - 1;
/// An argument that a call does not use. The kernel checks all its bits.
const NONE: libc::c_ulong = 0;
/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, as two halves.
const VERSION: u32 = 0x2008_0522;
/// `MOUNT_ATTR_RDONLY` of `linux/mount.h`.
const READ_ONLY: u64 = 1;
const TMP_FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);
const TMP_OPTIONS: &CStr = c"mode=1777,size=25%";

/// The restrictions of a program, and of everything that it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The user it runs as, which is also its only group; root if none.
    pub user: Option<u32>,
    /// Its capabilities, one bit per number, and the most that anything it starts can have.
    pub capabilities: u64,
    /// Set when programs it starts gain nothing from set-user-id bits or file capabilities.
    pub no_new_privileges: bool,
    /// Paths that are read-only to it, with all mounts below; absolute.
    pub read_only: Vec<PathBuf>,
    /// Set when it has its own empty `/tmp`, and `/var/tmp` if that exists.
    pub private_tmp: bool,
}

/// Makes a command start confined. The calling process must have every privilege that it removes; what it has not it does
/// not grant, as in a container. One without any capability has none to remove.
pub fn confine(command: &mut Command, how: &Confinement) -> Result<()> {
    let read_only: Vec<CString> = how
        .read_only
        .iter()
        .map(|path| named(path))
        .collect::<Result<_>>()?;
    let tmp = ["/tmp", "/var/tmp"].map(Path::new);
    let tmp = tmp.into_iter().filter(|path| how.private_tmp && path.is_dir());
    let tmp: Vec<CString> = tmp.map(named).collect::<Result<_>>()?;
    let permitted = permitted().context(|| "read the capabilities of this process".to_owned())?;
    let privileged = permitted != 0;
    let wanted = how.capabilities & permitted;
    let (user, no_new_privileges) = (how.user, how.no_new_privileges);
    let prepare = move || -> io::Result<()> {
        if !read_only.is_empty() || !tmp.is_empty() {
            own_mounts(&read_only, &tmp)?;
        }
        if privileged {
            bound(wanted)?;
        }
        if let Some(user) = user {
            become_user(user)?;
        }
        // A user's programs have the ambient set, root's the bounding set: root needs no inheritable ones.
        let inheritable = if user.is_some() { wanted } else { 0 };
        set_capabilities(wanted, inheritable)?;
        raise_ambient(inheritable)?;
        if no_new_privileges {
            prctl::set_no_new_privs()?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only makes system calls on memory that was prepared before the fork and
    // that it owns, and on its stack; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// Returns the capabilities that this process lacks of those that the kernel knows, one bit per number.
///
/// # Errors
/// Fails without `/proc`.
pub fn lacking() -> Result<u64> {
    let path = "/proc/sys/kernel/cap_last_cap";
    let lacking = || {
        let last = std::fs::read_to_string(path)?;
        let last: u32 = last.trim().parse().map_err(io::Error::other)?;
        let known = u64::MAX >> LAST.saturating_sub(last);
        Ok::<u64, io::Error>(known & !permitted()?)
    };
    lacking().context(|| format!("find out what {path} and the kernel allow"))
}

/// Returns a path for the kernel. It must exist: between fork and exec the missing one could not be reported.
fn named(path: &Path) -> Result<CString> {
    let action = || format!("make {} read-only for a service", path.display());
    path.symlink_metadata().context(action)?;
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "NUL in the path"))
        .context(action)
}

/// Leaves the machine's mounts unchanged, and modifies a copy. Later mounts of the machine appear in the copy.
fn own_mounts(read_only: &[CString], tmp: &[CString]) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&CStr>;
    mount(none, c"/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)?;
    for path in read_only {
        let path = path.as_c_str();
        mount(Some(path), path, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
        set_read_only(path)?;
    }
    for path in tmp {
        let tmpfs = Some(c"tmpfs");
        mount(tmpfs, path.as_c_str(), tmpfs, TMP_FLAGS, Some(TMP_OPTIONS))?;
    }
    Ok(())
}

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_read_only(path: &CStr) -> io::Result<()> {
    let attributes = MountAttributes {
        set: READ_ONLY,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the path ends in NUL, and the attributes are a `mount_attr` of the size that is passed; both outlive the
    // call, which writes to neither.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    Ok(Errno::result(answer).map(drop)?)
}

/// Removes everything else from the bounding set, permanently: nothing that is started from here can regain it.
fn bound(wanted: u64) -> io::Result<()> {
    for number in 0..=LAST {
        // SAFETY: the call takes numbers only, and changes nothing.
        let has = unsafe {
            libc::prctl(
                libc::PR_CAPBSET_READ,
                libc::c_ulong::from(number),
                NONE,
                NONE,
                NONE,
            )
        };
        match has {
            // Higher than the last one that this kernel knows.
            -1 => break,
            1 if wanted & (1 << number) == 0 => {
                // SAFETY: the call takes numbers only, and changes the calling thread alone.
                let answer = unsafe {
                    libc::prctl(
                        libc::PR_CAPBSET_DROP,
                        libc::c_ulong::from(number),
                        NONE,
                        NONE,
                        NONE,
                    )
                };
                Errno::result(answer)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Switches to a user without other groups. Permitted capabilities are kept: they are set right after this.
fn become_user(user: u32) -> io::Result<()> {
    prctl::set_keepcaps(true)?;
    // SAFETY: the calls take numbers, and a list of none; they change the calling process alone, which has one thread.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_setgroups, 0, null::<libc::gid_t>()))?;
        Errno::result(libc::syscall(libc::SYS_setresgid, user, user, user))?;
        Errno::result(libc::syscall(libc::SYS_setresuid, user, user, user))?;
    }
    Ok(())
}

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`: one half of the numbers.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn halves(set: u64) -> [u32; 2] {
    let bytes = set.to_le_bytes();
    let half = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [half(0), half(4)]
}

fn set_capabilities(wanted: u64, inheritable: u64) -> io::Result<()> {
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let (wanted, inheritable) = (halves(wanted), halves(inheritable));
    let half = |at: usize| Half {
        effective: wanted[at],
        permitted: wanted[at],
        inheritable: inheritable[at],
    };
    let data = [half(0), half(1)];
    // SAFETY: header and data are what version 3 takes, two halves; the call reads them and changes the calling thread.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    Ok(Errno::result(answer).map(drop)?)
}

/// Returns the capabilities that this process can use at most.
fn permitted() -> io::Result<u64> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut data = [Half::default(); 2];
    // SAFETY: header and data are what version 3 takes, two halves; both are ours to be written.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    Errno::result(answer)?;
    Ok(u64::from(data[0].permitted) | (u64::from(data[1].permitted) << 32))
}

/// Lets a user's programs keep these. For root, the bounding set decides.
fn raise_ambient(set: u64) -> io::Result<()> {
    let ambient = |what: libc::c_int, number: u32| {
        let (what, number) = (what as libc::c_ulong, libc::c_ulong::from(number));
        // SAFETY: the call takes numbers only, and changes the calling thread alone.
        Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, what, number, NONE, NONE) })
    };
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    for number in (0..=LAST).filter(|number| set & (1 << number) != 0) {
        ambient(libc::PR_CAP_AMBIENT_RAISE, number)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
