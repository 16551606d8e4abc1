//! What the node remembers of its cluster while the API is away.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use state::kinds::{ApiServers, ClusterNode};

/// The most that is read: some ten thousand nodes.
const LIMIT: u64 = 4 << 20;

/// The nodes and API servers of a cluster, as it knew them last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Remembered {
    /// The identity of the cluster.
    pub cluster: String,
    /// Its nodes by name.
    pub nodes: BTreeMap<String, ClusterNode>,
    /// Its API servers.
    pub servers: ApiServers,
}

/// Reads what is remembered of a cluster. What cannot be read, or is of another cluster, is forgotten: the API tells it again.
pub(crate) fn load(path: &Path, cluster: &str) -> Option<Remembered> {
    let readable = fs::metadata(path).is_ok_and(|found| found.len() <= LIMIT);
    let text = readable.then(|| fs::read(path).ok()).flatten()?;
    let remembered: Remembered = serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!("{} is not used: {error}", path.display()))
        .ok()?;
    (remembered.cluster == cluster).then_some(remembered)
}

/// Writes down what is known of a cluster, where it differs: cards wear out.
pub(crate) fn save(path: &Path, remembered: &Remembered) -> io::Result<()> {
    let text = serde_json::to_vec(remembered)?;
    if fs::read(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    sys::durable::write(path, &text, 0o600)
}

/// Forgets everything.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_known_of_a_cluster_outlives_a_restart_and_no_change_of_clusters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.json");
        let node = ClusterNode {
            mesh_key: Some("key".to_owned()),
            addresses: vec!["10.0.0.7".parse().unwrap()],
            pods: vec!["10.244.1.0/24".parse().unwrap()],
        };
        let remembered = Remembered {
            cluster: "8d1f2c".to_owned(),
            nodes: BTreeMap::from([("node1".to_owned(), node)]),
            servers: ApiServers {
                addresses: vec!["10.0.0.7:6443".parse().unwrap()],
            },
        };
        assert_eq!(load(&path, "8d1f2c"), None);
        save(&path, &remembered).unwrap();
        assert_eq!(load(&path, "8d1f2c").as_ref(), Some(&remembered));
        assert_eq!(load(&path, "other"), None);
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        save(&path, &remembered).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
        fs::write(&path, "{").unwrap();
        assert_eq!(load(&path, "8d1f2c"), None);
        forget(&path).unwrap();
        forget(&path).unwrap();
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            prop_assert_eq!(load(file.path(), "8d1f2c"), None);
        }
    }
}
