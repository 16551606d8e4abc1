//! A folder of packages of one's own, such as a kernel that Debian does not have.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use board::Arch;

use super::control::{Stanza, stanzas};
use super::fetched::Fetched;
use crate::hash;
use crate::process::{self, ProcessError};

/// A package cannot be had from a folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder or a file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a package.
    #[error("{path} is not a Debian package")]
    NotAPackage {
        /// The file.
        path: PathBuf,
        /// What dpkg-deb says.
        #[source]
        source: ProcessError,
    },
    /// No file is that package.
    #[error("no package {name:?} for {arch} in {folder}; there: {}", there.join(", "))]
    Missing {
        /// The package.
        name: String,
        /// Its architecture.
        arch: Arch,
        /// Where was looked.
        folder: PathBuf,
        /// The packages that are there.
        there: Vec<String>,
    },
    /// Two files are that package.
    #[error("{first} and {second} are both package {name:?}: keep one of them")]
    Twice {
        /// The package.
        name: String,
        /// A file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
}

/// A package in a folder.
pub struct Local {
    /// The package.
    pub fetched: Fetched,
    /// What it depends on, as written.
    pub depends: String,
}

/// Finds a package in a folder by what is written in the packages; what the files are called means nothing.
pub fn find(folder: &Path, name: &str, arch: Arch) -> Result<Local, FolderError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Read { path, source }
    };
    let mut found: Option<(PathBuf, Stanza)> = None;
    let mut there = Vec::new();
    for path in packages(folder).map_err(read(folder))? {
        let control = control(&path)?;
        let field = |name| control.get(name).unwrap_or_default();
        let fits = [arch.as_str(), "all"].contains(&field("Architecture"));
        there.push(format!("{} {}", field("Package"), field("Architecture")));
        if field("Package") != name || !fits {
            continue;
        }
        if let Some((first, _)) = found {
            return Err(FolderError::Twice {
                name: name.to_owned(),
                first,
                second: path,
            });
        }
        found = Some((path, control));
    }
    let (path, control) = found.ok_or_else(|| FolderError::Missing {
        name: name.to_owned(),
        arch,
        folder: folder.to_owned(),
        there,
    })?;
    let text = |field| control.get(field).unwrap_or_default().to_owned();
    Ok(Local {
        depends: text("Depends"),
        fetched: Fetched {
            name: name.to_owned(),
            arch,
            suite: None,
            version: text("Version"),
            size: fs::metadata(&path).map_err(read(&path))?.len(),
            sha256: hash::of_file(&path).map_err(read(&path))?,
            path,
        },
    })
}

fn packages(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn control(path: &Path) -> Result<Stanza, FolderError> {
    let mut command = Command::new("dpkg-deb");
    let text =
        process::output(command.arg("--field").arg(path)).map_err(|source| FolderError::NotAPackage {
            path: path.to_owned(),
            source,
        })?;
    Ok(stanzas(&text).into_iter().next().unwrap_or_default())
}
