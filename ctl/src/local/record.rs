//! What is remembered of local clusters: a folder for each, readable by its owner only.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::plan::Node;
use crate::user_file;

/// The file with the record.
const RECORD: &str = "cluster.json";
/// The file that a command locks while it changes the cluster.
const LOCK: &str = "lock";

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Who runs its nodes: `podman`.
    pub provisioner: String,
    /// The image of its nodes.
    pub image: String,
    /// Where Kubernetes' API is, once that is decided.
    pub endpoint: Option<String>,
    /// Its nodes, once they are decided.
    pub nodes: Vec<Node>,
    /// Set when it was created to the end.
    pub complete: bool,
}

/// The folders of all clusters.
#[derive(Debug, Clone)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Opens the folder below the user's folder for state.
    ///
    /// # Errors
    /// Fails when nothing says where that is.
    pub fn open() -> anyhow::Result<Self> {
        let folder = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let base = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
        let base = base
            .context("neither XDG_STATE_HOME nor HOME is set: there is no place for the cluster's files")?;
        Ok(Self::below(&base))
    }

    /// Opens the folder below another one.
    pub fn below(base: &Path) -> Self {
        Records {
            folder: base.join("bedplate/clusters"),
        }
    }

    /// Returns the folder of a cluster.
    pub fn of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the folder of a new cluster with its record, before anything else of it is made.
    ///
    /// # Errors
    /// Fails when there is one of that name.
    pub fn create(&self, record: &Record) -> anyhow::Result<PathBuf> {
        let folder = self.of(&record.name);
        let mut private = DirBuilder::new();
        private.mode(0o700);
        let made = private
            .recursive(true)
            .create(&self.folder)
            .and_then(|()| private.recursive(false).create(&folder));
        match made {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => anyhow::bail!(
                "cluster {0:?} exists already: choose another name with --name, or remove it with `bedplate cluster destroy {0}`",
                record.name
            ),
            made => made.with_context(|| format!("cannot create {}", folder.display()))?,
        }
        self.save(record)?;
        Ok(folder)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn save(&self, record: &Record) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(record)?;
        user_file::replace(&self.of(&record.name).join(RECORD), &text, 0o600)
    }

    /// Reads a record; `None` when there is none.
    ///
    /// # Errors
    /// Fails when it is not one.
    pub fn load(&self, name: &str) -> anyhow::Result<Option<Record>> {
        let path = self.of(name).join(RECORD);
        let Some(text) = user_file::find(&path)? else {
            return Ok(None);
        };
        let record = serde_json::from_str(&text).with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Some(record))
    }

    /// Lists the names of all clusters with a folder, also of those whose record was never written.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = folders
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Removes the folder of a cluster, and the folders above it when they are empty.
    ///
    /// # Errors
    /// Fails when it cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        let folder = self.of(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
            }
            _ => {}
        }
        for above in folder.ancestors().skip(1).take(2) {
            // One that is not empty stays.
            let _stays = fs::remove_dir(above);
        }
        Ok(())
    }

    /// Holds off other commands that change a cluster, for as long as the result lives.
    ///
    /// # Errors
    /// Fails while another command holds it.
    pub fn lock(&self, name: &str) -> anyhow::Result<File> {
        let path = self.of(name).join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        anyhow::ensure!(
            sys::lock::try_whole(&file)?,
            "another command is at work on cluster {name:?}: wait until it is done"
        );
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_remembered_once_and_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        let records = Records::below(base.path());
        let record = Record {
            name: "lab".into(),
            provisioner: "podman".into(),
            image: "localhost/bedplate:0.1.0".into(),
            endpoint: None,
            nodes: Vec::new(),
            complete: false,
        };
        let folder = records.create(&record).unwrap();
        let error = records.create(&record).unwrap_err().to_string();
        assert!(error.contains("bedplate cluster destroy lab"), "{error}");
        assert_eq!(records.load("lab").unwrap(), Some(record));
        let held = records.lock("lab").unwrap();
        assert!(
            records
                .lock("lab")
                .unwrap_err()
                .to_string()
                .contains("at work on cluster")
        );
        drop(held);
        fs::write(folder.join("secrets.yaml"), "x").unwrap();
        assert_eq!(records.names(), ["lab"]);
        records.remove("lab").unwrap();
        records.remove("lab").unwrap();
        assert_eq!(records.load("lab").unwrap(), None);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
