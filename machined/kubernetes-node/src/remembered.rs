//! That the node was Ready, over a reboot.

use std::path::{Path, PathBuf};

use machine_config::MachineConfig;
use serde::{Deserialize, Serialize};
use state::chain;

/// The longest file, in bytes: an identity has 63.
const LIMIT: u64 = 4096;

/// The file in which it is remembered, on STATE.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    /// The cluster in which the node was Ready.
    cluster: String,
}

impl Remembered {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns whether the node was Ready in the cluster of this config.
    pub(crate) fn was_ready(&self, config: &MachineConfig) -> bool {
        read(&self.path).is_some_and(|content| content.cluster == identity(config))
    }

    /// Remembers that it was. A node that cannot write it down is one that cannot upgrade, either: the failure is logged.
    pub(crate) fn set(&self, config: &MachineConfig) {
        let content = Content {
            cluster: identity(config),
        };
        let text = serde_json::to_string(&content).unwrap_or_default();
        if let Err(error) = sys::durable::write(&self.path, text.as_bytes(), 0o644) {
            tracing::warn!("cannot write {}: {}", self.path.display(), chain(&error));
        }
    }
}

/// What tells clusters apart.
fn identity(config: &MachineConfig) -> String {
    let cluster = &config.cluster;
    let id = cluster
        .id
        .as_ref()
        .or(cluster.name.as_ref())
        .map(ToString::to_string);
    id.unwrap_or_default()
}

fn read(path: &Path) -> Option<Content> {
    let size = std::fs::metadata(path).ok()?.len();
    let text = (size <= LIMIT).then(|| std::fs::read_to_string(path).ok())??;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_remembered_for_one_cluster_only() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::new(folder.path().join("ready.json"));
        let mut config = state::testkit::config();
        config.cluster.id = "abc".parse().ok();
        assert!(!remembered.was_ready(&config));
        remembered.set(&config);
        assert!(remembered.was_ready(&config));
        config.cluster.id = "abd".parse().ok();
        assert!(!remembered.was_ready(&config));
        for torn in ["", "{", "{\"cluster\": 1}", "{\"cluster\": \"abd\", \"x\": 1}"] {
            std::fs::write(folder.path().join("ready.json"), torn).unwrap();
            assert!(!remembered.was_ready(&config), "{torn}");
        }
    }
}
