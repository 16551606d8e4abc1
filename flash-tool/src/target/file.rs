//! A file as a target: where it really is, whether it may be written to, and opening it exclusively.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use medium::FileMedium;
use serde::{Serialize, Serializer};

use super::error::TargetError;
use super::requirements::Requirements;
use crate::host::Host;

/// As many links as the kernel follows.
const LINKS: usize = 40;
/// The mode of a file that holds a machine config.
const PRIVATE: u32 = 0o600;
/// The permissions of others that it must not have.
const OTHERS: u32 = 0o077;

/// A file that may be written to, and may not exist yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileTarget {
    /// The file, as it was named.
    #[serde(serialize_with = "crate::lossy_path::serialize")]
    pub path: PathBuf,
    /// The bytes that it will have.
    pub size: u64,
    /// Set when only its owner may read it (mode 0600), because it will hold a machine config with keys.
    pub private: bool,
    /// Its real path.
    #[serde(skip)]
    place: PathBuf,
    /// Device and inode of the existing file; none for a new one.
    #[serde(rename = "new", serialize_with = "is_new")]
    there: Option<(u64, u64)>,
}

impl FileTarget {
    /// Inspects an existing file.
    pub(super) fn existing(
        host: &Host,
        path: &Path,
        facts: &Metadata,
        required: &Requirements<'_>,
    ) -> Result<Self, TargetError> {
        let there = identity(facts);
        let same = |input: &&Path| fs::metadata(input).is_ok_and(|other| identity(&other) == there);
        if required.inputs.iter().any(same) {
            return Err(TargetError::OwnInput { path: path.into() });
        }
        let look = |source| TargetError::Inspect {
            path: path.into(),
            source,
        };
        let place = fs::canonicalize(path).map_err(look)?;
        if host.is_for_devices(parent(&place)) {
            return Err(TargetError::FileInDev { path: path.into() });
        }
        if let Some(by) = host.loop_over(there) {
            return Err(TargetError::Loop {
                path: path.into(),
                by,
            });
        }
        // Checked here, so that nobody has to confirm what will be refused; a file that we may not read is reported when it is
        // opened.
        if let Ok(file) = File::open(&place)
            && sys::lock::is_held(&file).map_err(|error| look(io::Error::other(error)))?
        {
            return Err(TargetError::InUse { path: path.into() });
        }
        Self::sized(
            path,
            place,
            required.size.unwrap_or(facts.len()),
            Some(there),
            required,
        )
    }

    /// Inspects the place of a new file.
    pub(super) fn new(host: &Host, path: &Path, required: &Requirements<'_>) -> Result<Self, TargetError> {
        // A mistyped disk must not become a file that fills /dev's memory, whichever path leads there.
        if host.is_for_devices(parent(path)) {
            return Err(TargetError::NoDevice { path: path.into() });
        }
        let place = resolve(path).map_err(|source| TargetError::Inspect {
            path: path.into(),
            source,
        })?;
        if host.is_for_devices(parent(&place)) {
            return Err(TargetError::NoDevice { path: path.into() });
        }
        Self::sized(
            path,
            place,
            required.size.unwrap_or(required.needed),
            None,
            required,
        )
    }

    fn sized(
        path: &Path,
        place: PathBuf,
        size: u64,
        there: Option<(u64, u64)>,
        required: &Requirements<'_>,
    ) -> Result<Self, TargetError> {
        if size < required.needed {
            return Err(TargetError::FileTooSmall {
                path: path.into(),
                has: size,
                needed: required.needed,
            });
        }
        Ok(Self {
            path: path.into(),
            size,
            private: required.private,
            place,
            there,
        })
    }

    /// Returns true if the file does not exist yet.
    pub fn is_new(&self) -> bool {
        self.there.is_none()
    }

    /// Returns true if both are one file, by whatever names.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place == other.place || self.there.is_some() && self.there == other.there
    }

    /// Opens the file at its size, locked against other programs that honour locks, and private if necessary.
    pub(super) fn open(&self) -> Result<FileMedium, TargetError> {
        let path = || self.path.clone();
        let open = |source| TargetError::Open { path: path(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if self.there.is_none() {
            // Private from the start: what is open already stays open to whoever opened it.
            options
                .create_new(true)
                .mode(if self.private { PRIVATE } else { 0o666 });
        }
        let file = match options.open(&self.place) {
            // It did not exist a moment ago, so another flash created it.
            Err(error) if self.there.is_none() && error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(TargetError::InUse { path: path() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.there.is_some() => {
                return Err(TargetError::Replaced { path: path() });
            }
            opened => opened.map_err(open)?,
        };
        if !sys::lock::try_whole(&file).map_err(|error| open(io::Error::other(error)))? {
            return Err(TargetError::InUse { path: path() });
        }
        let now = identity(&file.metadata().map_err(open)?);
        if self.there.is_some_and(|there| there != now) {
            return Err(TargetError::Replaced { path: path() });
        }
        if self.private {
            self.make_private(&file)?;
        }
        file.set_len(self.size).map_err(open)?;
        FileMedium::new(file).map_err(open)
    }

    /// Removes all permissions of others, and checks that: a file system without owners may only pretend.
    fn make_private(&self, file: &File) -> Result<(), TargetError> {
        let fault = |source| TargetError::Private {
            path: self.path.clone(),
            source,
        };
        let mode = || file.metadata().map(|facts| facts.permissions().mode());
        if mode().map_err(|error| fault(Some(error)))? & OTHERS == 0 {
            return Ok(());
        }
        file.set_permissions(Permissions::from_mode(PRIVATE))
            .map_err(|error| fault(Some(error)))?;
        match mode() {
            Ok(mode) if mode & OTHERS == 0 => Ok(()),
            Ok(_) => Err(fault(None)),
            Err(error) => Err(fault(Some(error))),
        }
    }
}

/// Follows links to where a file would be created, including those that lead to nothing yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it does not name a file"))?;
        let folder = fs::canonicalize(parent(&path))?;
        let place = folder.join(name);
        match fs::read_link(&place) {
            Ok(to) => path = folder.join(to),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Returns what identifies a file on this host, whatever its names.
fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

/// Returns the directory of a path, which is the current one for a name alone.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn is_new<S: Serializer>(there: &Option<(u64, u64)>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bool(there.is_none())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_to_files_that_do_not_exist_yet() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("dev")).unwrap();
        symlink("dev/sdzz", root.join("disk.img")).unwrap();
        symlink("disk.img", root.join("again")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        let sdzz = root.join("dev/sdzz");
        for name in ["disk.img", "again", "dev/sdzz", "dev/../dev/sdzz"] {
            assert_eq!(resolve(&root.join(name)).unwrap(), sdzz, "{name}");
        }
        for name in ["circle", "none/sdzz", "dev/.."] {
            assert!(resolve(&root.join(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn files_are_refused_in_dev() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("dev/shm")).unwrap();
        symlink("dev/sdzz", root.join("disk.img")).unwrap();
        fs::write(root.join("dev/left"), "").unwrap();
        let host = Host::at(&root);
        let required = Requirements {
            needed: 0,
            size: None,
            inputs: &[],
            private: false,
        };
        for name in ["dev/sdzz", "disk.img", "dev/shm/../sdzz"] {
            let refused = FileTarget::new(&host, &root.join(name), &required);
            assert!(matches!(refused, Err(TargetError::NoDevice { .. })), "{name}");
        }
        let left = root.join("dev/left");
        let refused = FileTarget::existing(&host, &left, &fs::metadata(&left).unwrap(), &required);
        assert!(matches!(refused, Err(TargetError::FileInDev { .. })));
        // Shared memory is mounted there.
        assert!(FileTarget::new(&host, &root.join("dev/shm/disk.img"), &required).is_ok());
        assert!(FileTarget::new(&host, &root.join("disk2.img"), &required).is_ok());
    }

    #[test]
    fn a_file_that_was_replaced_or_created_meanwhile_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, host) = (dir.path().join("disk.img"), Host::at(dir.path()));
        let required = Requirements {
            needed: 7,
            size: None,
            inputs: &[],
            private: true,
        };
        let target = FileTarget::new(&host, &path, &required).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(target.open(), Err(TargetError::InUse { .. })));

        let target = FileTarget::existing(&host, &path, &fs::metadata(&path).unwrap(), &required).unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "treasure").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(matches!(target.open(), Err(TargetError::Replaced { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "treasure");
        fs::remove_file(&path).unwrap();
        assert!(matches!(target.open(), Err(TargetError::Replaced { .. })));
    }
}
