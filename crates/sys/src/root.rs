//! Switches from the initramfs to the real root.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use nix::mount::{MsFlags, mount};

use crate::{Context, Result};

/// Makes `new_root` the root, moves these mounts along, and frees the memory of the old root's files.
///
/// Afterwards the working directory is the new root.
pub fn switch(new_root: &Path, moved: &[&str]) -> Result<()> {
    let action = || format!("switch the root to {}", new_root.display());
    for from in moved {
        let to = new_root.join(from.trim_start_matches('/'));
        mount(Some(*from), &to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .context(|| format!("move {from} to {}", to.display()))?;
    }
    std::env::set_current_dir(new_root).context(action)?;
    let device = fs::metadata("/").context(action)?.dev();
    // The initramfs is in memory: what is not deleted now is lost until the machine restarts.
    delete_below(Path::new("/"), device);
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context(action)?;
    nix::unistd::chroot(".").context(action)?;
    std::env::set_current_dir("/").context(action)
}

/// Executes another program in place of this one. Returns only when that fails.
pub fn become_program(program: &Path, arguments: &[&OsStr]) -> Result<Infallible> {
    let error: io::Error = Command::new(program).args(arguments).exec();
    Err(error).context(|| format!("start {}", program.display()))
}

/// Deletes what it can of one file system; what it cannot only costs memory.
fn delete_below(folder: &Path, device: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.dev() != device {
            continue;
        }
        let _removed = if metadata.is_dir() {
            delete_below(&path, device);
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_is_deleted_but_not_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        delete_below(folder.path(), device);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn other_file_systems_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        delete_below(folder.path(), u64::MAX);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
