//! What the node and its services say.
//!
//! Each source has a ring in memory, which readers follow. [`persist`] appends the rings to files in large batches,
//! because a memory card wears out by many small writes. [`Capture`] takes down what services say, [`kernel`] reads the kernel's own log, and [`own`] takes
//! what machined itself says.

mod capture;
pub mod kernel;
mod kernel_tail;
pub mod own;
pub mod persist;
mod ring;

pub use capture::Capture;
pub use kernel_tail::KernelTail;
pub use ring::{Read, Reader, Ring};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ring::Bell;
use tokio::sync::Notify;

/// Bytes of text that are kept in memory for each source.
const KEPT: usize = 128 * 1024;
/// When a source has said this much, it is written without waiting for more: well before it is dropped.
const MUCH: usize = KEPT / 2;
/// What one line costs in addition to its text.
const LINE_COST: usize = 48;
/// Longer lines are cut here.
pub const LONGEST_LINE: usize = 8 * 1024;
/// The source under which machined itself is found.
pub const OWN: &str = "machined";

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it came, in milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// The text, without its end of line.
    pub text: String,
}

/// How much of a source is kept in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// The size in bytes beyond which a file is put aside.
    pub size: u64,
    /// The number of files, with the one that is written to.
    pub count: u32,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self {
            size: 2 << 20,
            count: 2,
        }
    }
}

/// The rings of all sources. Clones share them.
#[derive(Clone, Default)]
pub struct Logs {
    rings: Arc<Mutex<BTreeMap<String, Ring<Line>>>>,
    limits: Arc<Mutex<BTreeMap<String, FileLimits>>>,
    much: Arc<Notify>,
}

impl Logs {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the ring of a source, and makes it when there is none.
    pub fn ring(&self, source: &str) -> Ring<Line> {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings
            .entry(source.to_owned())
            .or_insert_with(|| {
                let ring = self.much.clone();
                Ring::with_bell(KEPT, Some(Bell { every: MUCH, ring }))
            })
            .clone()
    }

    /// Follows a source from its last `tail` lines on (all that are kept when none is given). None for a source
    /// that has never said anything.
    pub fn follow(&self, source: &str, tail: Option<usize>) -> Option<Reader<Line>> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.get(source).map(|ring| ring.reader(tail))
    }

    /// Limits the files of some sources, in place of all limits before. All others have the usual ones.
    pub fn limit(&self, limits: BTreeMap<String, FileLimits>) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Returns the limits of a source's files.
    fn limits(&self, source: &str) -> FileLimits {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.get(source).copied().unwrap_or_default()
    }

    /// Waits until some source has said so much that it should be written. One task may wait.
    pub async fn said_much(&self) {
        self.much.notified().await;
    }

    /// Names the sources.
    pub fn sources(&self) -> Vec<String> {
        self.rings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }
}

/// Appends a line to a ring, cut to a sane length, with the present time.
pub fn say(ring: &Ring<Line>, text: &str) {
    let text = cut(text.trim_end_matches(['\r', '\n']));
    ring.push(
        Line {
            uptime_ms: uptime_ms(),
            text: text.to_owned(),
        },
        text.len() + LINE_COST,
    );
}

/// Returns the milliseconds since the kernel started.
pub fn uptime_ms() -> u64 {
    u64::try_from(sys::clock::since_boot().as_millis()).unwrap_or(u64::MAX)
}

/// Turns milliseconds since the kernel's start into milliseconds since 1970, by the clock as it is set now.
///
/// So even what was said before the clock was set is shown at its true time.
pub fn unix_ms(uptime_ms: u64) -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let started = now.saturating_sub(sys::clock::since_boot());
    i64::try_from(started.as_millis())
        .unwrap_or(0)
        .saturating_add(i64::try_from(uptime_ms).unwrap_or(0))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_followed_by_name() {
        let logs = Logs::new();
        assert!(logs.follow("containerd", None).is_none());
        say(&logs.ring("containerd"), "started\n");
        let mut reader = logs.follow("containerd", None).unwrap();
        assert_eq!(reader.try_next().unwrap().item.text, "started");
        assert_eq!(logs.sources(), ["containerd"]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = format!("{}é", "x".repeat(LONGEST_LINE - 1));
        assert_eq!(cut(&text).len(), LONGEST_LINE - 1);
    }
}
