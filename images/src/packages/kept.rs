//! Folders of kept packages: what a release publishes beside its bundles, so that it can be built again when no mirror
//! has its packages any more.
//!
//! What a file is called means nothing: a package is known by its size and hash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::fetched::Fetched;
use super::lock::Locked;
use crate::hash;

/// A folder of packages could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} as a folder of kept packages")]
pub struct KeptError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The packages in some folders.
#[derive(Debug, Default)]
pub struct Kept {
    files: Vec<(u64, PathBuf)>,
}

impl Kept {
    /// Lists what is in folders.
    pub fn open(folders: &[PathBuf]) -> Result<Kept, KeptError> {
        let mut kept = Kept::default();
        for folder in folders {
            kept.list(folder).map_err(|source| KeptError {
                path: folder.clone(),
                source,
            })?;
        }
        Ok(kept)
    }

    fn list(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let facts = fs::metadata(entry.path())?;
            if facts.is_file() {
                self.files.push((facts.len(), entry.path()));
            }
        }
        Ok(())
    }

    /// Finds the very file that was locked.
    pub fn find(&self, locked: &Locked) -> Option<PathBuf> {
        let sized = self.files.iter().filter(|(size, _)| *size == locked.size);
        let mut paths = sized.map(|(_, path)| path);
        paths
            .find(|path| hash::of_file(path).is_ok_and(|sha256| sha256 == locked.sha256))
            .cloned()
    }
}

/// Copies packages into a folder, which is made where there is none; what is there already is left alone.
pub fn keep(packages: &[Fetched], folder: &Path) -> Result<(), KeptError> {
    let there = Cache::new(folder.to_owned());
    let copy = || -> io::Result<()> {
        let scratch = there.scratch()?;
        for package in packages {
            let Fetched {
                name, version, arch, ..
            } = package;
            if there.get(name, version, *arch, &package.sha256).is_none() {
                let file = scratch.path().join("package");
                fs::copy(&package.path, &file)?;
                there.put(&file, name, version, *arch)?;
            }
        }
        Ok(())
    };
    copy().map_err(|source| KeptError {
        path: folder.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use board::Arch;

    use super::*;

    #[test]
    fn packages_are_kept_and_found_by_their_hash_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("x.deb"), dir.path().join("kept"));
        fs::write(&file, "abc").unwrap();
        let sha256 = hash::of_file(&file).unwrap();
        let fetched = Fetched {
            name: "x".into(),
            arch: Arch::Arm64,
            suite: None,
            version: "1:2".into(),
            size: 3,
            sha256: sha256.clone(),
            path: file,
        };
        for _ in 0..2 {
            keep(std::slice::from_ref(&fetched), &folder).unwrap();
        }
        let names = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["x_1%3a2_arm64.deb"]);

        fs::rename(folder.join("x_1%3a2_arm64.deb"), folder.join("renamed")).unwrap();
        fs::write(folder.join("other"), "abd").unwrap();
        let mut locked = Locked {
            name: "x".into(),
            arch: Arch::Arm64,
            suite: None,
            version: "1:2".into(),
            size: 3,
            sha256,
        };
        let kept = Kept::open(std::slice::from_ref(&folder)).unwrap();
        assert_eq!(kept.find(&locked), Some(folder.join("renamed")));
        locked.sha256 = "ab".into();
        assert_eq!(kept.find(&locked), None);
        let error = Kept::open(&[dir.path().join("absent")]).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
