//! What became of past upgrades: a file in STATE, which the old system and the new one share.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use manifest::Digest;
use serde::{Deserialize, Serialize};
use slots::Slot;
use state::kinds::upgrade::{Mode, Stage};

use crate::trial::{DiaryCheck, TrialStage};

/// How many upgrades are remembered.
pub const KEPT: usize = 32;
/// How much of the kernel's log of a failed trial is kept. All of it lies in BOOTSTATE until the next trial.
pub const LOG_KEPT: usize = 16 * 1024;
/// What all of it may have on the disk: nothing of ours is larger.
const LONGEST: u64 = 4 * 1024 * 1024;
const FILE: &str = "upgrades.json";

/// How an upgrade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The new system got well, and is kept.
    Committed,
    /// The new system did not start or did not get well.
    FellBack,
    /// It failed before the node restarted.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody asked for the old system again.
    RolledBack,
}

/// What is known of a trial that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrialReport {
    /// The boot that left its diary; empty when none did.
    pub boot_id: String,
    /// How far it came.
    pub stage: TrialStage,
    /// What its last look at its health said.
    pub checks: Vec<DiaryCheck>,
    /// The end of its kernel's log.
    pub log: String,
}

/// How an upgrade from a web server is begun again after a power cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeRequest {
    /// The address, with what may be secret in it: it is never shown.
    pub url: String,
    /// Set when refusals that may be overridden are.
    pub force: bool,
    /// Bytes a second at most.
    #[serde(default)]
    pub rate_limit: Option<NonZeroU64>,
    /// The manifest that it must be, where that was asked for.
    #[serde(default)]
    pub pin: Option<Digest>,
    /// How often it was begun again.
    #[serde(default)]
    pub attempts: u32,
}

/// One upgrade. A release reads what an older or newer one wrote: what it does not know it passes over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Names it.
    pub id: String,
    /// Version that ran when it started.
    pub from: String,
    /// Version in the bundle, once known.
    pub to: String,
    /// SHA-256 of the bundle's manifest in hex, once known.
    pub manifest: String,
    /// The slot that is written.
    pub slot: Option<Slot>,
    /// Where the bundle comes from, without credentials.
    pub source: String,
    /// When the node restarts into it.
    pub mode: Mode,
    /// When it started, in milliseconds since 1970 by the node's clock.
    pub started_ms: i64,
    /// When it ended; 0 while it has not.
    pub ended_ms: i64,
    /// How it ended; none while it has not.
    pub outcome: Option<Outcome>,
    /// Why it ended so, in one sentence.
    pub cause: String,
    /// How far it came before the node restarted.
    pub stage: Stage,
    /// What is known of its trial, when that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialReport>,
    /// Bytes that came.
    pub fetched: u64,
    /// Bytes that were written.
    pub written: u64,
    /// How it is begun again; none when it is not, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<ResumeRequest>,
}

impl Entry {
    /// Returns the release that it must be, if a rollout began it.
    pub fn pin(&self) -> Option<Digest> {
        self.again.as_ref()?.pin
    }

    /// Ends it.
    pub fn end(&mut self, outcome: Outcome, cause: impl Into<String>, now_ms: i64) {
        (self.outcome, self.cause, self.ended_ms) = (Some(outcome), cause.into(), now_ms);
        self.again = None;
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    entries: Vec<Entry>,
}

/// The history. Clones share it.
#[derive(Clone)]
pub struct History {
    folder: PathBuf,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl History {
    /// Reads the history of a folder. One that cannot be read is told, and begun anew.
    pub fn open(folder: &Path) -> Self {
        let entries = match read(&folder.join(FILE)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!("the history of upgrades cannot be read, and is begun anew: {error}");
                Vec::new()
            }
        };
        History {
            folder: folder.to_owned(),
            entries: Arc::new(Mutex::new(entries)),
        }
    }

    /// Returns all entries, the latest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the latest entry that has not ended.
    pub fn open_entry(&self) -> Option<Entry> {
        self.open_entries().into_iter().next()
    }

    /// Returns all entries that have not ended, the latest first.
    pub fn open_entries(&self) -> Vec<Entry> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.outcome.is_none());
        entries
    }

    /// Adds an entry, or replaces the one of its name, and writes the file. Blocks.
    ///
    /// When it cannot be written, it is known until the next start.
    pub fn put(&self, entry: Entry) -> io::Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.iter_mut().find(|known| known.id == entry.id) {
            Some(known) => *known = entry,
            None => entries.insert(0, entry),
        }
        while entries.len() > KEPT {
            let last = least_missed(&entries);
            entries.remove(last);
        }
        write(&self.folder, &entries)
    }
}

/// Names the entry that goes first, never the latest: what tried nothing; then what a later one tells of the same release. By the
/// others a node knows what it must not begin again by itself.
fn least_missed(entries: &[Entry]) -> usize {
    let tried = |entry: &Entry| !matches!(entry.outcome, None | Some(Outcome::Failed));
    let told_again = |at: usize| {
        let told = |later: &Entry| tried(later) && later.manifest == entries[at].manifest;
        tried(&entries[at]) && entries[..at].iter().any(told)
    };
    let oldest = |goes: &dyn Fn(usize) -> bool| (1..entries.len()).rev().find(|at| goes(*at));
    oldest(&|at| entries[at].outcome == Some(Outcome::Failed))
        .or_else(|| oldest(&told_again))
        .unwrap_or(entries.len().saturating_sub(1))
}

fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    let mut document: Document = serde_json::from_str(&text).map_err(io::Error::other)?;
    document.entries.truncate(KEPT);
    Ok(document.entries)
}

fn write(folder: &Path, entries: &[Entry]) -> io::Result<()> {
    let document = Document {
        entries: entries.to_vec(),
    };
    let text = serde_json::to_string(&document).map_err(io::Error::other)?;
    sys::durable::write(&folder.join(FILE), text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(number: usize) -> Entry {
        Entry {
            id: format!("u{number}"),
            to: "0.2.0".into(),
            ..Entry::default()
        }
    }

    #[test]
    fn the_latest_are_kept_over_restarts_and_are_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path());
        for number in 0..KEPT + 3 {
            history.put(entry(number)).unwrap();
        }
        let mut last = entry(KEPT + 2);
        last.end(Outcome::Committed, "it got well", 7);
        history.put(last.clone()).unwrap();
        let again = History::open(folder.path()).entries();
        assert_eq!(
            (again.len(), &again[0], again[KEPT - 1].id.as_str()),
            (KEPT, &last, "u3")
        );
        let mode = fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_was_tried_is_remembered_longest() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path());
        let put = |number: usize, outcome, manifest: String| {
            let mut entry = entry(number);
            entry.manifest = manifest;
            entry.end(outcome, "why", 7);
            history.put(entry).unwrap();
        };
        put(0, Outcome::FellBack, "bad".into());
        for number in 1..=2 * KEPT {
            put(number, Outcome::Failed, "unreachable".into());
        }
        let told = history.entries();
        assert_eq!((told.len(), told[KEPT - 1].id.as_str()), (KEPT, "u0"));
        assert_eq!(told[0].id, format!("u{}", 2 * KEPT), "the latest stays");
        for number in 100..100 + 2 * KEPT {
            put(number, Outcome::Committed, format!("of {}", number % 2));
        }
        let told = history.entries();
        assert!(told.len() == KEPT && told.iter().any(|entry| entry.id == "u0"));
        // Of too many releases the oldest goes.
        for number in 200..200 + KEPT {
            put(number, Outcome::Cancelled, format!("of {number}"));
        }
        assert!(history.entries().iter().all(|entry| entry.id != "u0"));
    }

    #[test]
    fn what_cannot_be_read_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{\"entries\":[{\"id\":5}]}").unwrap();
        let history = History::open(folder.path());
        assert!(history.entries().is_empty());
        history.put(entry(1)).unwrap();
        assert_eq!(History::open(folder.path()).entries().len(), 1);
    }

    #[test]
    fn what_a_newer_release_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"entries":[{"id":"u1","mood":"calm","stage":"armed","slot":"b"}],"more":1}"#;
        fs::write(folder.path().join(FILE), text).unwrap();
        let entries = History::open(folder.path()).entries();
        assert_eq!((entries[0].stage, entries[0].slot), (Stage::Armed, Some(Slot::B)));
    }

    #[test]
    fn what_cannot_be_written_is_known_until_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("missing"));
        assert!(history.put(entry(1)).is_err());
        assert_eq!(history.entries().len(), 1);
    }
}
