//! Gives a service its files.
//!
//! Folders are root's, so that no service can put a link where PID 1 writes next; files are the service's user's.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use service_definition::User;
use state::kinds::ServiceFile;
use state::kinds::service_spec::{SERVICE_FILES, file_path};

/// Where the files of services are.
#[derive(Debug, Clone)]
pub(super) struct ServiceFiles {
    root: PathBuf,
}

impl ServiceFiles {
    /// Returns the place for files below `root`, which is `/` on a node.
    pub(super) fn below(root: &Path) -> Self {
        ServiceFiles {
            root: root.to_owned(),
        }
    }

    /// Makes the folder of a service hold these files and no others. Each file is the old or the new one at any moment, so
    /// that a service may read it meanwhile. Returns the path that cannot be written with the error.
    pub(super) fn install(
        &self,
        service: &str,
        user: Option<&User>,
        files: &[ServiceFile],
    ) -> Result<(), (PathBuf, io::Error)> {
        let folder = self.path(&file_path(service, ""));
        if files.is_empty() {
            return self.remove(service);
        }
        let paths: BTreeSet<PathBuf> = files.iter().map(|file| self.path(&file.path)).collect();
        let parent = self.path(SERVICE_FILES);
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&parent);
        made.map_err(|error| (parent, error))?;
        make_folder(&folder, user)?;
        remove_others(&folder, &paths)?;
        for file in files {
            let path = self.path(&file.path);
            let between = path.ancestors().skip(1).take_while(|other| *other != folder);
            let between: Vec<&Path> = between.filter(|other| other.starts_with(&folder)).collect();
            for folder in between.into_iter().rev() {
                make_folder(folder, user)?;
            }
            write(&path, file, user).map_err(|error| (path, error))?;
        }
        Ok(())
    }

    /// Removes all files of a service.
    pub(super) fn remove(&self, service: &str) -> Result<(), (PathBuf, io::Error)> {
        let folder = self.path(&file_path(service, ""));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err((folder, error)),
            _ => Ok(()),
        }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_matches('/'))
    }
}

fn make_folder(folder: &Path, user: Option<&User>) -> Result<(), (PathBuf, io::Error)> {
    let make = || {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(user) = user {
            chown(folder, None, Some(user.id))?;
        }
        fs::set_permissions(folder, Permissions::from_mode(0o750))
    };
    make().map_err(|error| (folder.to_owned(), error))
}

/// Removes what is neither one of these files nor a folder of one.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        let removed = match is_folder {
            true if kept.iter().any(|file| file != &path && file.starts_with(&path)) => {
                remove_others(&path, kept)?;
                Ok(())
            }
            true => fs::remove_dir_all(&path),
            false if kept.contains(&path) => Ok(()),
            false => fs::remove_file(&path),
        };
        removed.map_err(|error| (path, error))?;
    }
    Ok(())
}

fn write(path: &Path, file: &ServiceFile, user: Option<&User>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Names with a dot in front are refused in specs.
    let fresh = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut opened: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    opened.write_all(file.contents.expose().as_bytes())?;
    if let Some(user) = user {
        fchown(&opened, Some(user.id), Some(user.id))?;
    }
    opened.set_permissions(Permissions::from_mode(file.mode.0))?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use machine_config::Secret;
    use service_definition::Service;
    use state::kinds::ServiceSpec;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_holds_the_files_of_the_spec_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let files = ServiceFiles::below(root.path());
        let spec = || ServiceSpec::new(Service::new("etcd", ["/usr/bin/etcd"]));
        let first = spec()
            .with_file("etcd.yaml", "a: 1\n")
            .with_secret("pki/server.key", Secret::new("key"))
            .with_file("old/a/b", "b");
        files.install("etcd", None, &first.files).unwrap();
        let folder = root.path().join("run/bedplate/services/etcd");
        assert_eq!(fs::read_to_string(folder.join("pki/server.key")).unwrap(), "key");
        assert_eq!(mode(&folder.join("pki/server.key")), 0o600);
        assert_eq!(mode(&folder.join("etcd.yaml")), 0o644);
        assert_eq!((mode(&folder), mode(&folder.join("pki"))), (0o750, 0o750));
        fs::write(folder.join("pki/.server.key.new"), "half").unwrap();

        // A folder becomes a file, another goes, and what was left half written too.
        let second = spec()
            .with_secret("pki/server.key", Secret::new("other"))
            .with_file("old", "o");
        files.install("etcd", None, &second.files).unwrap();
        let names = |folder: &Path| {
            let mut names: Vec<String> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&folder), ["old", "pki"]);
        assert_eq!(names(&folder.join("pki")), ["server.key"]);
        assert_eq!(
            fs::read_to_string(folder.join("pki/server.key")).unwrap(),
            "other"
        );

        files.install("etcd", None, &[]).unwrap();
        assert!(!folder.exists());
        files.remove("etcd").unwrap();
    }
}
