//! The lock file: exact versions and hashes of every package that any image is made of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use board::{Arch, Suite};
use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;
use crate::kubernetes::LockedProgram;

const HEADER: &str =
    "# Exact packages that images are made of. Written by `bedplate-image lock`; do not edit.\n";

/// The longest lock file: some ten times what every image together needs.
const LIMIT: usize = 4 * 1024 * 1024;

/// A fault of the lock file.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It could not be read.
    #[error("cannot read the lock file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: text::LoadError,
    },
    /// It could not be written.
    #[error("cannot write the lock file {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not a lock file of ours.
    #[error("{path} is not a lock file; make a new one with `bedplate-image lock`")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: yaml::Fault,
    },
}

/// The content of the lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Format of the file: 1.
    pub format: u32,
    /// The Debian release.
    pub suite: String,
    /// When it was made, in seconds since 1970: the time that images made from it bear.
    pub created: u64,
    /// A time at which the mirror had all of these packages, and an archive of all versions has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Timestamp>,
    /// Packages that only depend on a kernel, and the kernel they stood for.
    pub kernels: Vec<LockedKernel>,
    /// Packages, sorted by architecture and name.
    pub packages: Vec<Locked>,
    /// Programs of Kubernetes, sorted by version, architecture and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kubernetes: Vec<LockedProgram>,
}

/// A package that only depends on the newest kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedKernel {
    /// The package a board names.
    pub package: String,
    /// Its architecture.
    pub arch: Arch,
    /// The Debian suite that it comes from, where that is another than the lock's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// The package with the kernel in it.
    pub resolved: String,
    /// Further packages that the kernel is split into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<String>,
}

impl LockedKernel {
    /// Returns the packages with the kernel in them.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        [&self.resolved]
            .into_iter()
            .chain(&self.further)
            .map(String::as_str)
    }
}

/// An exact package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// The architecture it is for.
    pub arch: Arch,
    /// The Debian suite that it comes from, where that is another than the lock's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
    /// Its version.
    pub version: String,
    /// Size of the `.deb`.
    pub size: u64,
    /// SHA-256 of the `.deb`, as hex.
    pub sha256: String,
}

impl Lock {
    /// Parses a lock file.
    pub fn parse(text: &str) -> Result<Lock, yaml::Fault> {
        yaml::from_str(text)
    }

    /// Reads a lock file; a file that is not there is an empty lock.
    pub fn load(path: &Path) -> Result<Lock, LockError> {
        match text::load(path, LIMIT) {
            Ok(text) => Lock::parse(&text).map_err(|source| LockError::Parse {
                path: path.to_owned(),
                source,
            }),
            Err(error) if error.is_absence() => Ok(Lock::default()),
            Err(source) => Err(LockError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Writes the lock file, sorted, so that a renewal shows as a small difference.
    pub fn save(&self, path: &Path) -> Result<(), LockError> {
        fs::write(path, self.to_text()).map_err(|source| LockError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Returns the text of the lock file.
    pub fn to_text(&self) -> String {
        let mut sorted = self.clone();
        sorted
            .packages
            .sort_by(|a, b| (a.arch, &a.name).cmp(&(b.arch, &b.name)));
        sorted
            .kernels
            .sort_by(|a, b| (a.arch, &a.package, &a.suite).cmp(&(b.arch, &b.package, &b.suite)));
        sorted.kubernetes.sort();
        let body = yaml::to_string(&sorted).expect("a lock has only string keys");
        format!("{HEADER}{body}")
    }

    /// Returns a time at which the mirror had all of these packages: without one in the lock, that of its creation.
    pub fn moment(&self) -> Timestamp {
        self.moment.clone().unwrap_or_else(|| Timestamp::at(self.created))
    }

    /// Returns the locked version of a package.
    pub fn package(&self, name: &str, arch: Arch) -> Option<&Locked> {
        self.packages
            .iter()
            .find(|locked| locked.name == name && locked.arch == arch)
    }

    /// Finds the kernel that a package stood for.
    pub fn kernel(&self, package: &str, suite: Option<&Suite>, arch: Arch) -> Option<&LockedKernel> {
        self.kernels
            .iter()
            .find(|kernel| kernel.package == package && kernel.arch == arch && kernel.suite.as_ref() == suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_sorted_and_reads_back() {
        let locked = |name: &str, arch| Locked {
            name: name.into(),
            arch,
            suite: None,
            version: "1".into(),
            size: 1,
            sha256: "ab".into(),
        };
        let lock = Lock {
            format: 1,
            suite: "trixie".into(),
            created: 7,
            moment: Some(Timestamp::at(7)),
            kernels: vec![],
            packages: vec![
                locked("b", Arch::Amd64),
                locked("z", Arch::Arm64),
                locked("a", Arch::Amd64),
            ],
            kubernetes: vec![],
        };
        let text = lock.to_text();
        assert!(text.starts_with("# Exact packages"));
        assert!(text.contains("moment: 19700101T000007Z\n"), "{text}");
        let older = Lock::parse(&text.replace("moment: 19700101T000007Z\n", "")).unwrap();
        assert_eq!(older.moment(), lock.moment());
        assert!(Lock::parse(&text.replace("19700101T000007Z", "../../etc")).is_err());
        let back = Lock::parse(&text).unwrap();
        let names: Vec<_> = back.packages.iter().map(|locked| locked.name.as_str()).collect();
        assert_eq!(names, ["z", "a", "b"]);
        assert_eq!(back.package("a", Arch::Amd64).unwrap().version, "1");
        assert!(back.package("a", Arch::Arm64).is_none());
    }

    #[test]
    fn no_lock_file_is_an_empty_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::load(&dir.path().join("absent")).unwrap(), Lock::default());
        fs::write(dir.path().join("x"), "format: [").unwrap();
        assert!(
            Lock::load(&dir.path().join("x"))
                .unwrap_err()
                .to_string()
                .contains("make a new one")
        );
    }
}
