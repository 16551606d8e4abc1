//! The newest seen version of each rollout: a file in STATE, so that no older one is accepted after a restart.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rollout::{ReplaceError, Rollout};
use serde::{Deserialize, Serialize};

/// The number of rollouts that are kept.
const KEPT: usize = 16;
/// The largest file that we write.
const LONGEST: u64 = 2 * 1024 * 1024;
const FILE: &str = "rollouts.json";

/// Why a version is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefusedVersion {
    /// It must not replace the previous one.
    #[error("rollout {id} is not the newest")]
    Replace {
        /// The name of the rollout.
        id: String,
        #[source]
        source: ReplaceError,
    },
    /// If it is not stored, it could be undone.
    #[error("the newest version of the rollout cannot be stored")]
    Write(#[source] io::Error),
}

/// The newest versions. If the file cannot be read, that is reported, and it starts empty.
pub(super) struct SeenVersions {
    folder: PathBuf,
    held: Document,
}

/// The latest first. The first one came from the address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    url: String,
    rollouts: Vec<Rollout>,
}

impl SeenVersions {
    /// Reads the file in a directory; also returns what is wrong with it.
    pub fn open(folder: &Path) -> (Self, Option<String>) {
        let (held, wrong) = match read(&folder.join(FILE)) {
            Ok(held) => (held, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Document::default(), None),
            Err(error) => (Document::default(), Some(error.to_string())),
        };
        let folder = folder.to_owned();
        (SeenVersions { folder, held }, wrong)
    }

    /// Returns the version that was seen last, if it came from this address.
    pub fn newest(&self, url: &str) -> Option<&Rollout> {
        self.held.rollouts.first().filter(|_| self.held.url == url)
    }

    /// Stores a version, and refuses it when a newer one of the same rollout was seen before. Blocks.
    pub fn remember(&mut self, url: &str, rollout: &Rollout) -> Result<(), RefusedVersion> {
        let known = self.held.rollouts.iter().find(|known| known.id == rollout.id);
        if let Some(known) = known {
            rollout.follows(known).map_err(|source| RefusedVersion::Replace {
                id: rollout.id.clone(),
                source,
            })?;
        }
        let others = self.held.rollouts.iter().filter(|other| other.id != rollout.id);
        let next = Document {
            url: url.to_owned(),
            rollouts: std::iter::once(rollout)
                .chain(others)
                .take(KEPT)
                .cloned()
                .collect(),
        };
        // Cards wear out: an equal version is not written again.
        if next != self.held {
            let text = serde_json::to_string(&next).map_err(|error| RefusedVersion::Write(error.into()))?;
            sys::durable::write(&self.folder.join(FILE), text.as_bytes(), 0o600)
                .map_err(RefusedVersion::Write)?;
            self.held = next;
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Document> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    let document: Document = serde_json::from_str(&text)?;
    for rollout in &document.rollouts {
        // Including the rules that the types do not enforce.
        rollout.to_text().map_err(io::Error::other)?;
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use manifest::Digest;
    use rollout::Bundle;

    use super::*;

    const URL: &str = "https://a/rollout.json";

    fn version(id: &str, serial: u64) -> Rollout {
        let bundle = Bundle {
            url: "https://a/b".into(),
            manifest: Digest([1; 32]),
            version: "0.2.0".parse().unwrap(),
            board: "test".into(),
        };
        Rollout {
            serial,
            ..Rollout::new(id, bundle, "seed")
        }
    }

    #[test]
    fn no_older_version_is_accepted_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (mut seen, wrong) = SeenVersions::open(folder.path());
        assert_eq!((seen.newest(URL), wrong), (None, None));
        seen.remember(URL, &version("one", 3)).unwrap();
        seen.remember("https://a/other", &version("two", 1)).unwrap();
        seen.remember(URL, &version("one", 3)).unwrap();

        let (mut seen, wrong) = SeenVersions::open(folder.path());
        assert_eq!((seen.newest(URL), wrong), (Some(&version("one", 3)), None));
        assert_eq!(seen.newest("https://a/other"), None, "another address");
        let refused = seen.remember(URL, &version("one", 2)).unwrap_err();
        assert!(matches!(
            refused,
            RefusedVersion::Replace {
                source: ReplaceError::Older { found: 2, known: 3 },
                ..
            }
        ));
        seen.remember(URL, &version("one", 4)).unwrap();
        let mode = fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_unreadable_file_is_reported_and_starts_empty() {
        let folder = tempfile::tempdir().unwrap();
        let broken = serde_json::to_string(&version("Not a name", 1)).unwrap();
        for text in [
            "",
            "{",
            "{\"url\":\"\",\"rollouts\":[],\"more\":1}",
            &format!("{{\"url\":\"\",\"rollouts\":[{broken}]}}"),
        ] {
            fs::write(folder.path().join(FILE), text).unwrap();
            let (mut seen, wrong) = SeenVersions::open(folder.path());
            assert!(wrong.is_some() && seen.newest("").is_none(), "{text}");
            seen.remember(URL, &version("one", 1)).unwrap();
            assert!(SeenVersions::open(folder.path()).0.newest(URL).is_some());
        }
    }

    #[test]
    fn a_version_that_cannot_be_stored_is_not_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut seen, _) = SeenVersions::open(&folder.path().join("missing"));
        let refused = seen.remember(URL, &version("one", 1)).unwrap_err();
        assert!(matches!(refused, RefusedVersion::Write(_)));
        assert_eq!(seen.newest(URL), None);
    }

    #[test]
    fn an_equal_version_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let (mut seen, _) = SeenVersions::open(folder.path());
        seen.remember(URL, &version("one", 1)).unwrap();
        fs::remove_file(folder.path().join(FILE)).unwrap();
        seen.remember(URL, &version("one", 1)).unwrap();
        assert!(!folder.path().join(FILE).exists());
    }
}
