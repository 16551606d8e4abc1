//! What is on the disk: etcd's data, whose it is, and the request to bootstrap.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wal::{self, Identity, Log};

/// Where the request to bootstrap is kept, in STATE.
const BOOTSTRAP: &str = "etcd-bootstrap.json";
/// Whose the data are, in the folder of what is kept beside them.
const CLUSTER: &str = "cluster.json";
/// There when the node has left etcd, until the machine starts again.
const LEFT: &str = "etcd-left";
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

/// What is kept beside etcd's data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// The cluster that they belong to.
    pub cluster: String,
    /// The member as which the others added this node, until it has data.
    #[serde(default)]
    pub member: Option<u64>,
    /// Where other members were seen last.
    #[serde(default)]
    pub others: Vec<IpAddr>,
    /// Set when the others have removed this member: its data are of no use to it any more.
    #[serde(default)]
    pub removed: bool,
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

    /// Returns whose etcd's data are, by etcd's own word; none where there are none.
    pub(crate) fn identity(&self) -> Option<Identity> {
        wal::identity(&self.data.join("member/wal"))
    }

    /// Puts the data of a member that the others have removed aside, in place of what was put there before: they are of no
    /// use to etcd, but a person may want to see them. To be called only while etcd does not run.
    ///
    /// # Errors
    ///
    /// A folder that cannot be moved.
    pub(crate) fn put_aside(&self) -> Result<(), PlaceError> {
        folder(&self.beside)?;
        let (from, to) = (self.data.join("member"), self.beside.join("removed"));
        if !from.exists() {
            // Done before a power cut.
            return Ok(());
        }
        match fs::remove_dir_all(&to) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &to, source));
            }
            _ => {}
        }
        fs::rename(&from, &to).map_err(|source| failed("move", &from, source))
    }

    /// Returns what is kept beside etcd's data; none where nothing was ever written.
    pub fn note(&self) -> Option<Note> {
        read(&self.beside.join(CLUSTER))
    }

    /// Keeps something beside etcd's data. The same again writes nothing.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn set_note(&self, note: &Note) -> Result<(), PlaceError> {
        if self.note().as_ref() == Some(note) {
            return Ok(());
        }
        folder(&self.beside)?;
        write(&self.beside.join(CLUSTER), note)
    }

    /// Returns the cluster that the node was asked to bootstrap, until its etcd has begun it.
    pub fn bootstrap(&self) -> Option<String> {
        read::<Note>(&self.state.join(BOOTSTRAP)).map(|note| note.cluster)
    }

    /// Remembers the request to bootstrap a cluster. Once this returns, no power cut forgets it.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn request_bootstrap(&self, cluster: &str) -> Result<(), PlaceError> {
        let note = Note {
            cluster: cluster.to_owned(),
            ..Note::default()
        };
        write(&self.state.join(BOOTSTRAP), &note)
    }

    /// Tells whether the node has left etcd on request since the machine was started.
    pub(crate) fn has_left(&self) -> bool {
        self.run.join(LEFT).exists()
    }

    /// Remembers that the node has left etcd, until the machine is started again.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn set_left(&self) -> Result<(), PlaceError> {
        folder(&self.run)?;
        let path = self.run.join(LEFT);
        fs::write(&path, b"").map_err(|source| failed("write", &path, source))
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

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let length = fs::metadata(path).ok()?.len();
    let text = (length <= LARGEST).then(|| fs::read(path).ok()).flatten()?;
    let read = serde_json::from_slice(&text);
    if read.is_err() {
        tracing::warn!("{} is damaged, and is ignored", path.display());
    }
    read.ok()
}

pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<(), PlaceError> {
    let written = serde_json::to_vec(value)
        .map_err(io::Error::from)
        .and_then(|content| sys::durable::write(path, &content, 0o600));
    written.map_err(|source| failed("write", path, source))
}
