//! Makes a disk as slow as an SD card, by the kernel's limits for control groups.
//!
//! See `Documentation/admin-guide/cgroup-v1/blkio-controller.rst` and `Documentation/admin-guide/cgroup-v2.rst` of the Linux kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Bytes a second at which a disk is written and read.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    pub write: u64,
    pub read: u64,
}

/// A disk that is slowed down until this is dropped.
#[derive(Debug)]
pub struct Throttle {
    undo: Vec<(PathBuf, String)>,
    group: Option<PathBuf>,
}

/// Version 1 of control groups has limits for all processes at once, those of the kernel that write caches back among them.
const FIRST: &str = "/sys/fs/cgroup/blkio";
/// Version 2 has them for a group and the caches that it filled, never for the first group.
const SECOND: &str = "/sys/fs/cgroup";

impl Throttle {
    /// Slows a disk down, which is named by its numbers, such as `7:0`, for this process and those that it starts.
    ///
    /// # Errors
    ///
    /// The kernel has no such limits, or they are somebody else's to set.
    pub fn new(disk: &str, speed: Speed) -> Result<Throttle> {
        match Path::new(FIRST).exists() {
            true => Throttle::first(Path::new(FIRST), disk, speed),
            false => Throttle::second(Path::new(SECOND), disk, speed),
        }
    }

    fn first(root: &Path, disk: &str, speed: Speed) -> Result<Throttle> {
        let mut throttle = Throttle {
            undo: Vec::new(),
            group: None,
        };
        for (file, speed) in [("write", speed.write), ("read", speed.read)] {
            let file = root.join(format!("blkio.throttle.{file}_bps_device"));
            set(&file, &format!("{disk} {speed}"))?;
            throttle.undo.push((file, format!("{disk} 0")));
        }
        Ok(throttle)
    }

    fn second(root: &Path, disk: &str, speed: Speed) -> Result<Throttle> {
        set(&root.join("cgroup.subtree_control"), "+io +memory")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.trim().strip_prefix("0::/").unwrap_or_default();
        let group = root.join(format!("bedplate-bench-{}", std::process::id()));
        fs::create_dir(&group).with_context(|| format!("cannot create {}", group.display()))?;
        let throttle = Throttle {
            undo: vec![(
                root.join(own).join("cgroup.procs"),
                std::process::id().to_string(),
            )],
            group: Some(group.clone()),
        };
        let Speed { write, read } = speed;
        set(&group.join("io.max"), &format!("{disk} wbps={write} rbps={read}"))?;
        set(&group.join("cgroup.procs"), &std::process::id().to_string())?;
        Ok(throttle)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        for (file, value) in &self.undo {
            if let Err(error) = set(file, value) {
                stdio::note(format_args!("{error:#}"));
            }
        }
        if let Some(group) = &self.group {
            // It is empty now; what is left of it says nothing about the figures.
            let _gone = fs::remove_dir(group);
        }
    }
}

fn set(file: &Path, value: &str) -> Result<()> {
    fs::write(file, value).with_context(|| format!("cannot write {value:?} to {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Speed = Speed {
        write: 30_000_000,
        read: 100_000_000,
    };

    #[test]
    fn limits_are_set_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let throttle = Throttle::first(folder.path(), "7:3", CARD).unwrap();
        assert_eq!(read("blkio.throttle.write_bps_device"), "7:3 30000000");
        assert_eq!(read("blkio.throttle.read_bps_device"), "7:3 100000000");
        drop(throttle);
        assert_eq!(read("blkio.throttle.write_bps_device"), "7:3 0");
        assert_eq!(read("blkio.throttle.read_bps_device"), "7:3 0");
    }
}
