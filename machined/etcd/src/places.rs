//! What is on the disk: etcd's data, whose it is, and the request to bootstrap.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::wal::{self, Log};

/// Where the request to bootstrap is kept, in STATE.
const BOOTSTRAP: &str = "etcd-bootstrap.json";
/// Whose the data are, in the folder of what is kept beside them.
const CLUSTER: &str = "cluster.json";
/// The largest of these files.
const LARGEST: u64 = 4096;

/// A file of etcd's that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct PlaceError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Where etcd's data are, and what is kept about them.
#[derive(Debug, Clone)]
pub struct Places {
    /// etcd's own folder, on DATA.
    pub data: PathBuf,
    /// What is kept beside it, on DATA.
    pub beside: PathBuf,
    /// STATE.
    pub state: PathBuf,
    /// What is forgotten with the next start of the machine.
    pub run: PathBuf,
}

/// What etcd's folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Nothing that etcd wrote.
    Empty,
    /// What etcd made before its first write: nothing was ever acknowledged.
    Begun,
    /// Data.
    Present,
}

/// A cluster, as a file names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    cluster: String,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            data: "/var/lib/etcd".into(),
            beside: "/var/lib/etcd-bedplate".into(),
            state: "/var/lib/bedplate".into(),
            run: "/run/bedplate".into(),
        }
    }
}

impl Places {
    /// Returns the same places below another root, for tests.
    pub fn below(root: &Path) -> Self {
        Self {
            data: root.join("etcd"),
            beside: root.join("beside"),
            state: root.join("state"),
            run: root.join("run"),
        }
    }

    /// Looks what etcd's folder holds.
    ///
    /// # Errors
    ///
    /// A folder that cannot be read: it may hold data.
    pub fn data(&self) -> Result<Data, PlaceError> {
        let folder = self.data.join("member/wal");
        let log = wal::look(&folder).map_err(|source| failed("read", &folder, source))?;
        Ok(match log {
            Log::Absent => Data::Empty,
            Log::Fresh => Data::Begun,
            Log::Used => Data::Present,
        })
    }

    /// Returns the cluster that etcd's data belong to; none where nothing was ever said.
    pub fn owner(&self) -> Option<String> {
        read(&self.beside.join(CLUSTER))
    }

    /// Says whose etcd's data are, before there are any.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn set_owner(&self, cluster: &str) -> Result<(), PlaceError> {
        folder(&self.beside)?;
        write(&self.beside.join(CLUSTER), cluster)
    }

    /// Returns the cluster that the node was asked to bootstrap, until its etcd has begun it.
    pub fn bootstrap(&self) -> Option<String> {
        read(&self.state.join(BOOTSTRAP))
    }

    /// Remembers the request to bootstrap a cluster. Once this returns, no power cut forgets it.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn request_bootstrap(&self, cluster: &str) -> Result<(), PlaceError> {
        write(&self.state.join(BOOTSTRAP), cluster)
    }

    /// Forgets the request: it is done.
    ///
    /// # Errors
    ///
    /// A file that cannot be removed.
    pub fn forget_bootstrap(&self) -> Result<(), PlaceError> {
        let path = self.state.join(BOOTSTRAP);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, source)),
            _ => Ok(()),
        }
    }

    /// Removes what etcd made before its first write. To be called only for [`Data::Begun`], while etcd does not run.
    ///
    /// # Errors
    ///
    /// A folder that cannot be removed.
    pub(crate) fn remove_log(&self) -> Result<(), PlaceError> {
        let path = self.data.join("member/wal");
        fs::remove_dir_all(&path).map_err(|source| failed("remove", &path, source))
    }
}

pub(crate) fn failed(what: &'static str, path: &Path, source: io::Error) -> PlaceError {
    let path = path.to_owned();
    PlaceError { what, path, source }
}

/// Makes a folder for nobody else's eyes.
pub(crate) fn folder(path: &Path) -> Result<(), PlaceError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| failed("create", path, source))
}

fn read(path: &Path) -> Option<String> {
    let length = fs::metadata(path).ok()?.len();
    let text = (length <= LARGEST).then(|| fs::read(path).ok()).flatten()?;
    let named: Option<Named> = serde_json::from_slice(&text).ok();
    if named.is_none() {
        tracing::warn!("{} is damaged, and is ignored", path.display());
    }
    named.map(|named| named.cluster)
}

fn write(path: &Path, cluster: &str) -> Result<(), PlaceError> {
    let cluster = cluster.to_owned();
    let content = serde_json::to_vec(&Named { cluster }).unwrap_or_default();
    sys::durable::write(path, &content, 0o600).map_err(|source| failed("write", path, source))
}
