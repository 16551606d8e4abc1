//! The programs of a Kubernetes release, for the overlays that name them.
//!
//! They come from a folder or an archive, or from an upstream release by its version, which a web server publishes with
//! SHA-512 sums. The lock file pins the sums. Versions that Bedplate cannot start are refused here, not on the node.

mod given;
mod locked;
mod published;

use std::path::{Path, PathBuf};

use board::{Arch, Name};
use kubernetes::{Release, Version};
use sha2::{Digest, Sha512};

pub use given::GivenError;
pub(crate) use given::unpacked;
pub use locked::LockedProgram;
pub use published::{PublishedError, Server};

use crate::elf;
use crate::tree::{Node, Tree, TreeError};

/// The largest program that is taken, in bytes: five times what upstream's largest has.
const LARGEST: u64 = 640 * 1024 * 1024;

/// The programs of Kubernetes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The version is not known, or is none.
    #[error(transparent)]
    Version(#[from] kubernetes::Error),
    /// Nothing says which version a folder or archive holds.
    #[error("{path} does not have its version in its name; name it with --kubernetes-version VERSION")]
    NoVersion {
        /// The folder or archive.
        path: PathBuf,
    },
    /// The argument is neither a path nor a version.
    #[error("{given:?} is neither a folder or archive nor a version, such as 1.36.2")]
    NoSource {
        /// What was given.
        given: String,
    },
    /// A folder or archive could not be used.
    #[error(transparent)]
    Given(#[from] GivenError),
    /// A release could not be downloaded.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// A file is not a program for the board.
    #[error("{name} of Kubernetes {version} is not a static program for {arch}")]
    NotAProgram {
        /// The program.
        name: String,
        /// The version.
        version: Version,
        /// The board's architecture.
        arch: Arch,
    },
    /// A program is not the one that the lock names.
    #[error(
        "{name} of Kubernetes {version} for {arch} is not the locked one: its SHA-512 is {found}; if that is right, \
         renew the lock with `bedplate-image lock --kubernetes {version}`"
    )]
    NotLocked {
        /// The program.
        name: String,
        /// The version.
        version: Version,
        /// The architecture.
        arch: Arch,
        /// Its sum, as hex.
        found: String,
    },
}

/// Where the programs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder or an archive.
    Given {
        /// The folder or archive.
        path: PathBuf,
        /// The version that it holds.
        version: Version,
    },
    /// A release of upstream's.
    Published(Version),
}

/// One program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
    /// Their SHA-512, as hex.
    pub sha512: String,
}

/// The programs of one release for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The release.
    pub version: Version,
    /// The programs.
    pub all: Vec<Program>,
    /// Which of them the lock does not name.
    pub notes: Vec<String>,
}

impl Source {
    /// Reads what a person gives: a path that exists, else a version. `version` says what a path holds whose name does not.
    ///
    /// # Errors
    ///
    /// Neither of both, or a version that Bedplate does not know.
    pub fn parse(given: &str, version: Option<&str>) -> Result<Self, KubernetesError> {
        let path = Path::new(given);
        let source = if path.exists() {
            let version = match version {
                Some(version) => version.parse()?,
                None => given::version_in_name(path).ok_or_else(|| KubernetesError::NoVersion {
                    path: path.to_owned(),
                })?,
            };
            Self::Given {
                path: path.to_owned(),
                version,
            }
        } else {
            let no_source = |_| KubernetesError::NoSource {
                given: given.to_owned(),
            };
            let version: Version = given.parse().map_err(no_source)?;
            // Only a whole version names one release.
            if version.patch.is_none() {
                return Err(KubernetesError::NoSource {
                    given: given.to_owned(),
                });
            }
            Self::Published(version)
        };
        Release::of(source.version())?;
        Ok(source)
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        match self {
            Self::Given { version, .. } | Self::Published(version) => *version,
        }
    }
}

/// Gets programs.
///
/// # Errors
///
/// A program that is not there, is not what it should be, or is not what the lock names.
pub fn get(
    source: &Source,
    names: &[Name],
    arch: Arch,
    lock: &[LockedProgram],
    server: &Server,
) -> Result<Programs, KubernetesError> {
    let version = source.version();
    let mut programs = Programs {
        version,
        all: Vec::new(),
        notes: Vec::new(),
    };
    let given = match source {
        Source::Given { path, .. } => Some(given::read(path, names, LARGEST)?),
        Source::Published(_) => None,
    };
    for name in names {
        let locked = locked::find(lock, version, name.as_str(), arch);
        let data = match &given {
            Some(given) => given[name.as_str()].clone(),
            None => server.program(version, name.as_str(), arch, locked, LARGEST)?,
        };
        let sha512 = hex::encode(Sha512::digest(&data));
        match locked {
            Some(locked) if locked.sha512 != sha512 => {
                return Err(KubernetesError::NotLocked {
                    name: name.to_string(),
                    version,
                    arch,
                    found: sha512,
                });
            }
            Some(_) => (),
            None => programs.notes.push(format!(
                "{name} of Kubernetes {version} for {arch} is not in the lock"
            )),
        }
        if !elf::is_static_program(&data, arch) {
            return Err(KubernetesError::NotAProgram {
                name: name.to_string(),
                version,
                arch,
            });
        }
        programs.all.push(Program {
            name: name.to_string(),
            data,
            sha512,
        });
    }
    Ok(programs)
}

/// Adds programs to a root.
pub(crate) fn add(tree: &mut Tree, programs: &Programs) -> Result<(), TreeError> {
    let origin = format!("Kubernetes {}", programs.version);
    for program in &programs.all {
        let path = format!("usr/bin/{}", program.name);
        tree.add(&path, Node::program(program.data.clone()), &origin)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_with_a_version_or_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path.display().to_string()
        };
        let named = path("kubernetes-1.20.2-amd64");
        assert_eq!(
            Source::parse(&named, None).unwrap().version().to_string(),
            "1.20.2"
        );
        assert_eq!(
            Source::parse(&named, Some("v1.36.2"))
                .unwrap()
                .version()
                .to_string(),
            "1.36.2"
        );
        let plain = path("programs");
        let error = Source::parse(&plain, None).unwrap_err().to_string();
        assert!(error.contains("--kubernetes-version"), "{error}");
        assert_eq!(
            Source::parse("1.36.2", None).unwrap(),
            Source::Published("1.36.2".parse().unwrap())
        );
        for (wrong, expected) in [
            ("1.36", "is neither a folder or archive nor a version"),
            ("./missing", "is neither a folder or archive nor a version"),
            (
                "1.21.4",
                "Kubernetes 1.21.4 is not supported; known versions: 1.20, 1.34, 1.35, 1.36",
            ),
        ] {
            let error = Source::parse(wrong, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
