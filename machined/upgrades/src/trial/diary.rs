//! The diary of a system on trial, for the old system to read if the new one fails.
//!
//! One entry of bounded size: the release, the stage it reached, its last health checks, why it fell
//! back, and the end of the kernel's log. `BPDIARY1`, format, checksum, generation, two lengths; then JSON, then the log.
//! The reader may be an older release than the writer: unknown fields are ignored.

use serde::{Deserialize, Serialize};
use slots::Slot;
use state::kinds::HealthStatus;

/// Where the two copies start inside BOOTSTATE: each in the erase block of a copy of the slot record, and after it.
pub const OFFSETS: [u64; 2] = [256 * 1024, 768 * 1024];

/// The space for one copy.
pub const AREA: usize = 128 * 1024;

/// The longest part of the kernel's log that is kept.
pub const LOG_MAX: usize = 100 * 1024;

const MAGIC: [u8; 8] = *b"BPDIARY1";
const FORMAT: u32 = 1;
const HEADER: usize = 32;
const AT_CRC: usize = 12;
/// The checksum covers everything after itself.
const AT_GENERATION: usize = 16;
const JSON_MAX: usize = 16 * 1024;
/// Longer texts are truncated, so that the diary fits.
const TEXT_MAX: usize = 512;
const CHECKS_MAX: usize = 16;

/// The stage that a system on trial reached. Later is larger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum TrialStage {
    /// A stage that this release does not know.
    #[default]
    Unknown,
    /// The initramfs sees the disk.
    Initramfs,
    /// machined runs on the verified root.
    Root,
    /// STATE and DATA are mounted.
    Storage,
    /// The network is ready.
    Network,
    /// Every enabled service is healthy.
    Services,
    /// Every required check passes.
    Healthy,
}

impl TrialStage {
    const KNOWN: [TrialStage; 6] = [
        TrialStage::Initramfs,
        TrialStage::Root,
        TrialStage::Storage,
        TrialStage::Network,
        TrialStage::Services,
        TrialStage::Healthy,
    ];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            TrialStage::Unknown => "",
            TrialStage::Initramfs => "initramfs",
            TrialStage::Root => "root",
            TrialStage::Storage => "storage",
            TrialStage::Network => "network",
            TrialStage::Services => "services",
            TrialStage::Healthy => "healthy",
        }
    }
}

impl From<String> for TrialStage {
    fn from(word: String) -> Self {
        let known = TrialStage::KNOWN.into_iter().find(|stage| stage.name() == word);
        known.unwrap_or_default()
    }
}

impl From<TrialStage> for &'static str {
    fn from(stage: TrialStage) -> Self {
        stage.name()
    }
}

/// One check of the node's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiaryCheck {
    /// The required check.
    pub name: String,
    /// Set when it passed.
    pub healthy: bool,
    /// Why it failed.
    #[serde(default)]
    pub message: String,
}

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diary {
    /// The slot on trial.
    pub slot: Slot,
    /// SHA-256 of its manifest, in hex: identifies the release.
    pub manifest: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The boot ID: each try has another one.
    #[serde(default)]
    pub boot_id: String,
    /// The stage it reached.
    #[serde(default)]
    pub stage: TrialStage,
    /// When this was written, in milliseconds since the kernel started.
    #[serde(default)]
    pub uptime_ms: u64,
    /// The last health checks of the node; empty before the first.
    #[serde(default)]
    pub checks: Vec<DiaryCheck>,
    /// Why it fell back, if it did so itself.
    #[serde(default)]
    pub reason: String,
    /// The end of the kernel's log.
    #[serde(skip)]
    pub log: String,
}

impl Diary {
    /// Sets the results of the health checks.
    pub fn set_health(&mut self, health: &HealthStatus) {
        let checks = health.trial_checks().into_iter().map(|check| DiaryCheck {
            name: check.name,
            healthy: check.healthy,
            message: check.message,
        });
        self.checks = checks.collect();
    }

    /// Returns true if it says the same as another one, apart from the log and from when it was written.
    pub fn says_the_same(&self, other: &Diary) -> bool {
        let known = |diary: &Diary| Diary {
            uptime_ms: 0,
            log: String::new(),
            ..diary.clone()
        };
        known(self) == known(other)
    }
}

/// Why there is no diary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiaryError {
    /// There is none.
    #[error("there is no diary")]
    Missing,
    /// The copy is torn or damaged.
    #[error("the diary is damaged")]
    Damaged,
    /// Written by a newer release.
    #[error("the diary has format {0}; this release knows format {FORMAT}")]
    Format(u32),
}

/// Encodes one copy. What is too long is truncated: texts at their end, the log at its start.
pub fn encode(generation: u64, diary: &Diary) -> Vec<u8> {
    let json = serde_json::to_vec(&shortened(diary)).unwrap_or_default();
    let log = tail(&diary.log, LOG_MAX);
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    put(&mut bytes, 8, FORMAT.to_le_bytes());
    put(&mut bytes, AT_GENERATION, generation.to_le_bytes());
    for (at, text) in [(24, json.as_slice()), (28, log.as_bytes())] {
        put(
            &mut bytes,
            at,
            u32::try_from(text.len()).unwrap_or(0).to_le_bytes(),
        );
        bytes.extend_from_slice(text);
    }
    let crc = crc32fast::hash(&bytes[AT_GENERATION..]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    bytes
}

/// Decodes one copy, and its generation. Bytes after it are ignored.
pub fn decode(bytes: &[u8]) -> Result<(u64, Diary), DiaryError> {
    let head = bytes.first_chunk::<HEADER>().ok_or(DiaryError::Missing)?;
    if head[..8] != MAGIC {
        return Err(DiaryError::Missing);
    }
    if number(head, 8) != FORMAT {
        return Err(DiaryError::Format(number(head, 8)));
    }
    let (json, log) = (number(head, 24) as usize, number(head, 28) as usize);
    if json > JSON_MAX || log > LOG_MAX {
        return Err(DiaryError::Damaged);
    }
    let stored = bytes.get(..HEADER + json + log).ok_or(DiaryError::Damaged)?;
    if crc32fast::hash(&stored[AT_GENERATION..]) != number(head, AT_CRC) {
        return Err(DiaryError::Damaged);
    }
    let (json, log) = stored[HEADER..].split_at(json);
    let mut diary: Diary = serde_json::from_slice(json).map_err(|_| DiaryError::Damaged)?;
    diary.log = std::str::from_utf8(log)
        .map_err(|_| DiaryError::Damaged)?
        .to_owned();
    let generation = u64::from_le_bytes(std::array::from_fn(|at| head[AT_GENERATION + at]));
    Ok((generation, diary))
}

/// Limits the JSON's length.
fn shortened(diary: &Diary) -> Diary {
    let mut diary = Diary {
        log: String::new(),
        ..diary.clone()
    };
    diary.checks.truncate(CHECKS_MAX);
    let texts = [
        &mut diary.manifest,
        &mut diary.version,
        &mut diary.boot_id,
        &mut diary.reason,
    ];
    let checks = diary
        .checks
        .iter_mut()
        .flat_map(|check| [&mut check.name, &mut check.message]);
    for text in texts.into_iter().chain(checks) {
        // In JSON a character may become six.
        let mut end = text.len().min(TEXT_MAX / 6);
        if text.chars().all(|c| !c.is_control() && c != '"' && c != '\\') {
            end = text.len().min(TEXT_MAX);
        }
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    diary
}

/// Returns the end of a text, from the start of a line on where that is near.
pub(super) fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let end = &text[start..];
    match end.find('\n').filter(|_| start > 0) {
        Some(line) => &end[line + 1..],
        None => end,
    }
}

fn number(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

#[cfg(test)]
pub(super) mod tests;
