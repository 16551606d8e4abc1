//! What is mounted at the start, as tables.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sys::mount::{Mount, MountFlags, Mounter};
use sys::mount_table::{self, Mounted};

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    source: &'static str,
    target: &'static str,
    fstype: &'static str,
    flags: MountFlags,
    options: &'static str,
    /// Set when a node cannot run without it. A kernel may lack the others.
    needed: bool,
}

const NO_SUID_EXEC: MountFlags = MountFlags::MS_NOSUID.union(MountFlags::MS_NOEXEC);
const NO_SUID_DEV_EXEC: MountFlags = NO_SUID_EXEC.union(MountFlags::MS_NODEV);

/// What the initramfs needs, and hands on to the root.
pub const EARLY: &[Row] = &[
    // A service that is not root sees its own processes only.
    row(
        "proc",
        "/proc",
        "proc",
        NO_SUID_DEV_EXEC,
        "hidepid=invisible",
        true,
    ),
    row("sysfs", "/sys", "sysfs", NO_SUID_DEV_EXEC, "", true),
    row("devtmpfs", "/dev", "devtmpfs", NO_SUID_EXEC, "mode=0755", true),
    // The roots of containers are mounts of their own below it, with flags of their own.
    row("tmpfs", "/run", "tmpfs", NO_SUID_DEV_EXEC, "mode=0755", true),
];

/// What PID 1 mounts in addition, before anything else runs.
pub const MAIN: &[Row] = &[
    row(
        "devpts",
        "/dev/pts",
        "devpts",
        NO_SUID_EXEC,
        "mode=0620,ptmxmode=0666",
        true,
    ),
    row("tmpfs", "/dev/shm", "tmpfs", NO_SUID_DEV_EXEC, "mode=1777", true),
    row("mqueue", "/dev/mqueue", "mqueue", NO_SUID_DEV_EXEC, "", false),
    row(
        "tmpfs",
        "/tmp",
        "tmpfs",
        NO_SUID_DEV_EXEC,
        "mode=1777,size=25%",
        true,
    ),
    // What must be writable in /etc is made again at each start: nothing in it outlives the image that wrote it.
    row(
        "tmpfs",
        "/etc",
        "tmpfs",
        NO_SUID_DEV_EXEC,
        "mode=0755,size=4m",
        true,
    ),
    row(
        "cgroup2",
        "/sys/fs/cgroup",
        "cgroup2",
        NO_SUID_DEV_EXEC,
        "nsdelegate,memory_recursiveprot",
        true,
    ),
    row(
        "securityfs",
        "/sys/kernel/security",
        "securityfs",
        NO_SUID_DEV_EXEC,
        "",
        false,
    ),
    row("bpf", "/sys/fs/bpf", "bpf", NO_SUID_DEV_EXEC, "mode=0700", false),
    // The last words of a kernel that died are found here by the next one.
    row("pstore", "/sys/fs/pstore", "pstore", NO_SUID_DEV_EXEC, "", false),
    row(
        "efivarfs",
        "/sys/firmware/efi/efivars",
        "efivarfs",
        NO_SUID_DEV_EXEC.union(MountFlags::MS_RDONLY),
        "",
        false,
    ),
];

/// What of [`MAIN`] a container mounts: the rest shows the host.
const OF_CONTAINER: &[&str] = &["/dev/pts", "/dev/shm", "/dev/mqueue", "/tmp", "/etc"];

const fn row(
    source: &'static str,
    target: &'static str,
    fstype: &'static str,
    flags: MountFlags,
    options: &'static str,
    needed: bool,
) -> Row {
    Row {
        source,
        target,
        fstype,
        flags,
        options,
        needed,
    }
}

impl Row {
    fn mount(&self) -> Mount {
        Mount::new(self.source, self.target, self.fstype)
            .flags(self.flags)
            .options(self.options)
    }
}

/// Mounts what a container needs and its engine has not mounted. Returns what could not be, and was not needed.
///
/// # Errors
/// Fails when something that is needed cannot be mounted, as in a container without privileges.
pub fn mount_in_container(mounter: &dyn Mounter) -> Result<Vec<sys::Error>, sys::Error> {
    let rows = EARLY.iter();
    let main = MAIN.iter().filter(|row| OF_CONTAINER.contains(&row.target));
    mount_rows(mounter, rows.chain(main))
}

/// Mounts what is not mounted yet, in the table's order. Returns what could not be, and was not needed.
pub fn mount_all(mounter: &dyn Mounter, table: &[Row]) -> Result<Vec<sys::Error>, sys::Error> {
    mount_rows(mounter, table.iter())
}

fn mount_rows<'a>(
    mounter: &dyn Mounter,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<Vec<sys::Error>, sys::Error> {
    // Before /proc is there nothing can be known, and nothing has been mounted.
    let already = mount_table::load().unwrap_or_default();
    let mounted = targets(&already);
    let mut warnings = Vec::new();
    for row in rows.filter(|row| !mounted.contains(Path::new(row.target))) {
        // A folder that cannot be made is reported by the mount that misses it.
        let _exists = fs::create_dir_all(row.target);
        match mounter.mount(&row.mount()) {
            Err(error) if row.needed => return Err(error),
            Err(error) => warnings.push(error),
            Ok(()) => {}
        }
    }
    Ok(warnings)
}

/// Lists what is mounted at or below a folder, deepest first: the order in which it can be unmounted.
pub fn below(mounted: &[Mounted], folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = targets(mounted)
        .into_iter()
        .filter(|target| target.starts_with(folder))
        .map(Path::to_owned)
        .collect();
    found.reverse();
    found
}

fn targets(mounted: &[Mounted]) -> BTreeSet<&Path> {
    mounted.iter().map(|mounted| mounted.target.as_path()).collect()
}

#[cfg(test)]
mod tests {
    use sys::mount::RecordingMounts;

    use super::*;

    #[test]
    fn what_is_mounted_is_left_alone() {
        let mounter = RecordingMounts::default();
        // The machine that tests runs has /proc.
        mount_all(&mounter, &EARLY[..1]).unwrap();
        assert!(mounter.calls.lock().unwrap().is_empty());
    }

    #[test]
    fn nothing_runs_from_them_and_nothing_but_devices_is_a_device() {
        for row in EARLY.iter().chain(MAIN) {
            assert!(row.flags.contains(NO_SUID_EXEC), "{}", row.target);
            let devices = ["/dev", "/dev/pts"].contains(&row.target);
            assert!(
                devices || row.flags.contains(MountFlags::MS_NODEV),
                "{}",
                row.target
            );
        }
    }

    #[test]
    fn unmounts_go_from_the_leaves_to_the_root() {
        let mounted = mount_table::parse(
            b"1 1 8:1 / /var rw - ext4 /dev/a rw\n2 1 8:2 / /var/lib/bed\\040plate rw - ext4 /dev/b rw\n\
              3 1 0:1 / /var/lib rw - overlay overlay rw\n4 1 0:2 / /varnish rw - x x rw\n",
        );
        let expected = ["/var/lib/bed plate", "/var/lib", "/var"].map(PathBuf::from);
        assert_eq!(below(&mounted, "/var"), expected);
    }
}
