//! The history of upgrades: a file in STATE, which the old system and the new one share.

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

/// The number of upgrades that are kept.
pub const KEPT: usize = 32;
/// How much of the kernel's log of a failed trial is kept. All of it is in BOOTSTATE until the next trial.
pub const LOG_KEPT: usize = 16 * 1024;
/// The largest size of the file.
const LONGEST: u64 = 4 * 1024 * 1024;
const FILE: &str = "upgrades.json";

/// How an upgrade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The new system became healthy, and is kept.
    Committed,
    /// The new system did not start or did not become healthy.
    FellBack,
    /// It failed before the node restarted.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was rolled back.
    RolledBack,
}

/// The report of a failed trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrialReport {
    /// The boot that left its diary; empty if none did.
    pub boot_id: String,
    /// The stage it reached.
    pub stage: TrialStage,
    /// The results of its last health checks.
    pub checks: Vec<DiaryCheck>,
    /// The end of its kernel's log.
    pub log: String,
}

/// How an upgrade from a web server is resumed after a power cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeRequest {
    /// The address, including secrets: it is never shown.
    pub url: String,
    /// Set when refusals are overridden if possible.
    pub force: bool,
    /// The most bytes per second.
    #[serde(default)]
    pub rate_limit: Option<NonZeroU64>,
    /// The required manifest, if any.
    #[serde(default)]
    pub pin: Option<Digest>,
    /// How often it was resumed.
    #[serde(default)]
    pub attempts: u32,
}

/// One upgrade. A release reads what an older or newer one wrote: unknown fields are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Its name.
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
    /// When it ended; 0 before that.
    pub ended_ms: i64,
    /// How it ended; none before that.
    pub outcome: Option<Outcome>,
    /// Why it ended that way, in one sentence.
    pub cause: String,
    /// The stage it reached before the node restarted.
    pub stage: Stage,
    /// The report of its trial, if that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialReport>,
    /// Fetched bytes.
    pub fetched: u64,
    /// Bytes that were written.
    pub written: u64,
    /// How it is resumed; none when it is not, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<ResumeRequest>,
}

impl Entry {
    /// Returns the required release, if a rollout started it.
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
    /// Reads the history in a directory. If it cannot be read, that is logged, and it starts empty.
    pub fn open(folder: &Path) -> Self {
        let entries = match read(&folder.join(FILE)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!("the history of upgrades starts empty, because it cannot be read: {error}");
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
    /// If it cannot be written, it is kept in memory until the next start.
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

/// Returns the entry to drop first, never the latest. The others tell the node what it must not retry by itself:
///
/// 1. an entry that tried nothing;
/// 2. an entry whose release has a later entry;
/// 3. the oldest.
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
    fn the_latest_are_kept_across_restarts_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path());
        for number in 0..KEPT + 3 {
            history.put(entry(number)).unwrap();
        }
        let mut last = entry(KEPT + 2);
        last.end(Outcome::Committed, "it became healthy", 7);
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
    fn tried_releases_are_kept_longest() {
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
        // Of too many releases the oldest is dropped.
        for number in 200..200 + KEPT {
            put(number, Outcome::Cancelled, format!("of {number}"));
        }
        assert!(history.entries().iter().all(|entry| entry.id != "u0"));
    }

    #[test]
    fn an_unreadable_history_starts_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{\"entries\":[{\"id\":5}]}").unwrap();
        let history = History::open(folder.path());
        assert!(history.entries().is_empty());
        history.put(entry(1)).unwrap();
        assert_eq!(History::open(folder.path()).entries().len(), 1);
    }

    #[test]
    fn the_history_of_a_newer_release_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"entries":[{"id":"u1","mood":"calm","stage":"armed","slot":"b"}],"more":1}"#;
        fs::write(folder.path().join(FILE), text).unwrap();
        let entries = History::open(folder.path()).entries();
        assert_eq!((entries[0].stage, entries[0].slot), (Stage::Armed, Some(Slot::B)));
    }

    #[test]
    fn an_entry_that_cannot_be_written_is_kept_until_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("missing"));
        assert!(history.put(entry(1)).is_err());
        assert_eq!(history.entries().len(), 1);
    }
}
