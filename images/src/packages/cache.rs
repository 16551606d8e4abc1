//! Keeps fetched packages; what does not have the right hash is as if it were not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::hash;
use board::Arch;

/// A folder of fetched packages.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses a folder, which need not exist yet.
    pub fn new(folder: PathBuf) -> Cache {
        Cache { folder }
    }

    /// Returns the path of a package with this very hash.
    pub fn get(&self, name: &str, version: &str, arch: Arch, sha256: &str) -> Option<PathBuf> {
        let path = self.path(name, version, arch);
        (hash::of_file(&path).ok()? == sha256).then_some(path)
    }

    /// Moves a fetched package into the cache, and gives its new path.
    pub fn put(&self, file: &Path, name: &str, version: &str, arch: Arch) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let path = self.path(name, version, arch);
        // A rename makes it appear whole: another build may be reading.
        fs::rename(file, &path)?;
        Ok(path)
    }

    /// Makes an empty folder on the same file system, for files on their way in.
    pub fn scratch(&self) -> io::Result<tempfile::TempDir> {
        fs::create_dir_all(&self.folder)?;
        tempfile::Builder::new()
            .prefix("incoming-")
            .tempdir_in(&self.folder)
    }

    fn path(&self, name: &str, version: &str, arch: Arch) -> PathBuf {
        self.folder
            .join(format!("{name}_{}_{arch}.deb", version.replace(':', "%3a")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_hash_is_a_hit() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("packages"));
        let incoming = cache.scratch().unwrap();
        let file = incoming.path().join("x.deb");
        fs::write(&file, "abc").unwrap();
        let sha256 = hash::of_file(&file).unwrap();
        assert!(cache.get("x", "1:2", Arch::Arm64, &sha256).is_none());
        let path = cache.put(&file, "x", "1:2", Arch::Arm64).unwrap();
        assert_eq!(cache.get("x", "1:2", Arch::Arm64, &sha256), Some(path.clone()));
        fs::write(path, "abd").unwrap();
        assert!(cache.get("x", "1:2", Arch::Arm64, &sha256).is_none());
    }
}
