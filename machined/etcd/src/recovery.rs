//! The steps of a recovery on the disk.
//!
//! All is made ready in a folder beside etcd's data. Then a file says that it is complete; from then on the recovery goes on
//! by itself after a power cut. What is there without that file is of a recovery that was cut off, and is removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::places::{PlaceError, Places, failed, folder, read, write};

/// The folder in which a recovery is made ready.
const FOLDER: &str = "recovery";
/// The file that says that it is.
const COMPLETE: &str = "recovery.json";

/// A recovery that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recovery {
    /// The cluster.
    pub cluster: String,
    /// SHA-256 of the snapshot, in hex.
    pub sha256: String,
    /// Set until it is noted that the data which etcd has are to be put aside.
    #[serde(default)]
    pub replaces: bool,
}

impl Places {
    /// Returns where a snapshot that arrives is kept until it is restored.
    pub(crate) fn arriving(&self) -> PathBuf {
        self.beside.join(FOLDER).join("snapshot.db")
    }

    /// Returns where etcd's data are made from a snapshot.
    pub(crate) fn restored(&self) -> PathBuf {
        self.beside.join(FOLDER).join("etcd")
    }

    /// Makes an empty folder for a recovery.
    pub(crate) fn prepare_recovery(&self) -> Result<(), PlaceError> {
        self.clear_recovery()?;
        folder(&self.beside.join(FOLDER))
    }

    /// Removes what a recovery left behind.
    pub(crate) fn clear_recovery(&self) -> Result<(), PlaceError> {
        let path = self.beside.join(FOLDER);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, source)),
            _ => Ok(()),
        }
    }

    /// Says that etcd's data are restored. Once this returns, no power cut forgets it.
    pub(crate) fn complete_recovery(&self, recovery: &Recovery) -> Result<(), PlaceError> {
        let arriving = self.arriving();
        // The data are on the disk before anything says so, and twice the room is no longer needed.
        match fs::remove_file(&arriving) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &arriving, source));
            }
            _ => {}
        }
        let restored = self.restored();
        flush(&restored).map_err(|source| failed("flush", &restored, source))?;
        write(&self.beside.join(COMPLETE), recovery)
    }

    /// Notes that the data which etcd has are to be put aside, if a recovery that is ready replaces them. Two files are
    /// written, and a power cut between them has it done again.
    pub(crate) fn begin_replacing(&self) -> Result<(), PlaceError> {
        let Some(recovery) = self.recovery().filter(|recovery| recovery.replaces) else {
            return Ok(());
        };
        let mut note = self.note().unwrap_or_default();
        note.removed = true;
        self.set_note(&note)?;
        let replaces = false;
        write(&self.beside.join(COMPLETE), &Recovery { replaces, ..recovery })
    }

    /// Returns the recovery that is ready, until etcd has begun with it.
    pub(crate) fn recovery(&self) -> Option<Recovery> {
        read(&self.beside.join(COMPLETE))
    }

    /// Puts what was restored where etcd looks. Returns false where it is not there. To be called only while etcd does not run
    /// and has no data.
    pub(crate) fn install_recovery(&self) -> Result<bool, PlaceError> {
        let (from, to) = (self.restored().join("member"), self.data.join("member"));
        if !from.join("wal").is_dir() {
            return Ok(false);
        }
        folder(&self.data)?;
        if to.exists() {
            // Without a log it holds nothing that etcd acknowledged.
            self.put_aside()?;
        }
        fs::rename(&from, &to).map_err(|source| failed("move", &from, source))?;
        for path in [&self.data, &self.restored()] {
            flush_one(path).map_err(|source| failed("flush", path, source))?;
        }
        Ok(true)
    }

    /// Forgets the recovery: it is done, or cannot be.
    pub(crate) fn forget_recovery(&self) -> Result<(), PlaceError> {
        let path = self.beside.join(COMPLETE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path, source));
            }
            _ => {}
        }
        self.clear_recovery()
    }
}

/// Waits until a folder and all within is on the medium.
fn flush(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => flush(&entry.path())?,
            false => flush_one(&entry.path())?,
        }
    }
    flush_one(path)?;
    path.parent().map_or(Ok(()), flush_one)
}

fn flush_one(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_complete_is_not_ready_and_what_is_goes_where_etcd_looks() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        places.prepare_recovery().unwrap();
        fs::write(places.arriving(), b"a part").unwrap();
        assert_eq!(places.recovery(), None);
        assert!(!places.install_recovery().unwrap());
        places.prepare_recovery().unwrap();
        assert!(!places.arriving().exists());

        fs::create_dir_all(places.restored().join("member/wal")).unwrap();
        fs::write(places.restored().join("member/wal/0-0.wal"), b"log").unwrap();
        fs::write(places.arriving(), b"all of it").unwrap();
        let recovery = Recovery {
            cluster: "home".into(),
            sha256: "ab".repeat(32),
            replaces: true,
        };
        places.complete_recovery(&recovery).unwrap();
        assert_eq!(places.recovery(), Some(recovery));
        for _ in 0..2 {
            places.begin_replacing().unwrap();
            assert!(places.note().unwrap().removed && !places.recovery().unwrap().replaces);
        }
        assert!(!places.arriving().exists());
        // What etcd made before its log stays to be seen.
        fs::create_dir_all(places.data.join("member/snap")).unwrap();
        assert!(places.install_recovery().unwrap());
        assert!(places.data.join("member/wal/0-0.wal").exists());
        assert!(places.beside.join("removed/snap").exists());
        places.forget_recovery().unwrap();
        assert_eq!(places.recovery(), None);
        assert!(!places.restored().exists() && places.data.join("member/wal").exists());
        places.forget_recovery().unwrap();
    }
}
