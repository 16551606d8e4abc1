//! Mounting.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use nix::mount::MsFlags as MountFlags;
use nix::mount::{MntFlags, mount, umount2};

use crate::{Context, Result};

/// A mount, as for `mount(2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device, or the name of a virtual file system.
    pub source: String,
    /// The mount point.
    pub target: PathBuf,
    /// The file system's type; empty for bind mounts and changes of flags.
    pub fstype: String,
    /// The flags.
    pub flags: MountFlags,
    /// The file system's own options.
    pub options: String,
}

impl Mount {
    /// Makes a mount without flags or options.
    pub fn new(source: impl Into<String>, target: impl Into<PathBuf>, fstype: impl Into<String>) -> Self {
        Mount {
            source: source.into(),
            target: target.into(),
            fstype: fstype.into(),
            flags: MountFlags::empty(),
            options: String::new(),
        }
    }

    /// Makes a bind mount of `from`.
    pub fn bind(from: impl Into<String>, target: impl Into<PathBuf>) -> Self {
        Mount::new(from, target, "").flags(MountFlags::MS_BIND)
    }

    /// Sets the flags.
    #[must_use]
    pub fn flags(mut self, flags: MountFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the file system's own options.
    #[must_use]
    pub fn options(mut self, options: impl Into<String>) -> Self {
        self.options = options.into();
        self
    }
}

/// Mounts and unmounts.
pub trait Mounter: Send + Sync {
    /// Mounts.
    fn mount(&self, mount: &Mount) -> Result<()>;

    /// Unmounts; with `lazy`, detaches now and cleans up when it is no longer in use.
    fn unmount(&self, target: &Path, lazy: bool) -> Result<()>;
}

/// The kernel's mounts.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinuxMounts;

impl Mounter for LinuxMounts {
    fn mount(&self, what: &Mount) -> Result<()> {
        let fstype = (!what.fstype.is_empty()).then_some(what.fstype.as_str());
        let options = (!what.options.is_empty()).then_some(what.options.as_str());
        mount(
            Some(what.source.as_str()),
            &what.target,
            fstype,
            what.flags,
            options,
        )
        .context(|| format!("mount {} on {}", what.source, what.target.display()))
    }

    fn unmount(&self, target: &Path, lazy: bool) -> Result<()> {
        let flags = if lazy {
            MntFlags::MNT_DETACH
        } else {
            MntFlags::empty()
        };
        umount2(target, flags).context(|| format!("unmount {}", target.display()))
    }
}

/// A recorded call of [`RecordingMounts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountCall {
    /// A mount.
    Mount(Mount),
    /// An unmount.
    Unmount(PathBuf),
}

/// Records what was mounted and unmounted.
#[derive(Debug, Default)]
pub struct RecordingMounts {
    /// The calls, in order.
    pub calls: Mutex<Vec<MountCall>>,
}

impl RecordingMounts {
    fn push(&self, call: MountCall) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }
}

impl Mounter for RecordingMounts {
    fn mount(&self, mount: &Mount) -> Result<()> {
        self.push(MountCall::Mount(mount.clone()));
        Ok(())
    }

    fn unmount(&self, target: &Path, _lazy: bool) -> Result<()> {
        self.push(MountCall::Unmount(target.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_source_and_target() {
        let error = LinuxMounts
            .mount(&Mount::new("nothing", "/nowhere", "nofs"))
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot mount nothing on /nowhere");
    }
}
