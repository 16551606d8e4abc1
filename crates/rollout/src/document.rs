//! The document and its rules.

use std::time::Duration;

use manifest::Digest;
use serde::{Deserialize, Serialize};
use slots::Version;

use crate::Moment;

/// The longest document, in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// The waves of a rollout that lists none: percent of the fleet that has the release after each.
pub const DEFAULT_WAVES: [u8; 7] = [1, 5, 15, 40, 60, 90, 100];

const MAX_WAVES: usize = 16;
const MAX_URL: usize = 2048;
const MAX_NAME: usize = 64;
const MAX_SEED: usize = 128;
const MAX_REASON: usize = 500;
const MAX_PAUSE: u64 = 30 * 86400;

/// A rollout: which release a fleet gets, and in what steps.
///
/// A value of this type obeys the rules of the format; that a trusted key signed it is proved only by a
/// [`VerifiedRollout`](crate::VerifiedRollout) proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// The version of the format.
    pub api_version: ApiVersion,
    /// The kind of document: the same keys sign other kinds of text.
    pub kind: Kind,
    /// The rollout's name: lower-case letters, digits, dots and dashes.
    pub id: String,
    /// The version of this document, from 1. It only increases.
    pub serial: u64,
    /// The release.
    pub bundle: Bundle,
    /// Percent of the fleet that has the release after each wave: ascending, ending with 100.
    #[serde(default = "default_waves")]
    pub waves: Vec<u8>,
    /// Determines the order of the nodes, together with their names. Another seed puts other nodes first.
    pub seed: String,
    /// The share of failed nodes in a wave, in percent, above which the rollout is halted.
    pub max_failure_percent: u8,
    /// Seconds between the end of a wave and the start of the next.
    pub pause_seconds: u64,
    /// When the first wave opens for nodes that follow by themselves; each further wave opens one pause later. Without it,
    /// nodes do nothing by themselves: a client drives the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Moment>,
    /// The time from which on no node starts. An attacker on the network can show a node an old version, from before a
    /// stop, but not for longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Moment>,
    /// Set when no node may start any more.
    #[serde(default)]
    pub stopped: bool,
    /// Why it is stopped; set exactly when it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The versions of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiVersion {
    /// The only version.
    #[serde(rename = "bedplate.dev/v1alpha1")]
    V1Alpha1,
}

/// The kinds of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The only kind.
    Rollout,
}

/// A release, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// The URL from which nodes fetch it: http or https.
    pub url: String,
    /// SHA-256 of its manifest: no other release is accepted from there.
    pub manifest: Digest,
    /// Its version, for people.
    pub version: Version,
    /// The board it is for.
    pub board: String,
}

/// Why a text is not a valid rollout.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The text is too long.
    #[error("a rollout has at most {MAX_LEN} bytes, this one has {0}")]
    TooLong(usize),
    /// The bytes are not UTF-8 text.
    #[error("this is not a text")]
    Text(#[from] text::TextError),
    /// The text contains a character that looks like a space and is not one.
    #[error("this is not JSON")]
    Blank(#[source] text::OddBlank),
    /// The text is not JSON, or a field is missing, unknown or of another type.
    #[error("this is not a rollout of this format")]
    Json(#[from] serde_json::Error),
    /// A field has a value that is not allowed.
    #[error("{field}: {text}")]
    Field {
        /// Its path.
        field: &'static str,
        /// What is wrong, and what is expected.
        text: String,
    },
}

fn default_waves() -> Vec<u8> {
    DEFAULT_WAVES.to_vec()
}

impl Rollout {
    /// Makes the first version of a rollout, with the default waves, no pause, and a halt at the first failure.
    pub fn new(id: &str, bundle: Bundle, seed: &str) -> Rollout {
        Rollout {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::Rollout,
            id: id.to_owned(),
            serial: 1,
            bundle,
            waves: default_waves(),
            seed: seed.to_owned(),
            max_failure_percent: 0,
            pause_seconds: 0,
            begins: None,
            ends: None,
            stopped: false,
            reason: String::new(),
        }
    }

    /// Reads a rollout and checks its rules, without checking signatures: for programs that write one.
    pub fn parse_unverified(text: &[u8]) -> Result<Rollout, ParseError> {
        if text.len() > MAX_LEN {
            return Err(ParseError::TooLong(text.len()));
        }
        let text = text::decode(text, MAX_LEN)?;
        let rollout = serde_json::from_str::<Rollout>(text);
        let rollout = rollout.map_err(|error| match text::odd_blanks(text).next() {
            Some(odd) => ParseError::Blank(odd),
            None => ParseError::Json(error),
        })?;
        rollout.check()?;
        Ok(rollout)
    }

    /// Writes it as it is to be signed: checked, one field per line, with a final newline.
    pub fn to_text(&self) -> Result<String, ParseError> {
        self.check()?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Returns the pause between waves.
    pub fn pause(&self) -> Duration {
        Duration::from_secs(self.pause_seconds)
    }

    fn check(&self) -> Result<(), ParseError> {
        let rule = |field: &'static str, holds: bool, text: &str| match holds {
            true => Ok(()),
            false => Err(ParseError::Field {
                field,
                text: text.to_owned(),
            }),
        };
        rule(
            "id",
            is_name(&self.id),
            "expected 1 to 64 lower-case letters, digits, dots and dashes, a letter or digit first",
        )?;
        rule("serial", self.serial > 0, "starts at 1")?;
        rule(
            "bundle.url",
            is_url(&self.bundle.url),
            "expected http:// or https:// and a host, at most 2048 characters, without spaces and password",
        )?;
        rule(
            "bundle.board",
            is_name(&self.bundle.board),
            "expected the name of a board",
        )?;
        let rising = self.waves.is_sorted_by(|before, after| before < after);
        let ends = self.waves.first().is_some_and(|first| *first > 0) && self.waves.last() == Some(&100);
        rule(
            "waves",
            rising && ends && self.waves.len() <= MAX_WAVES,
            "expected 1 to 16 ascending percentages, the last 100",
        )?;
        rule(
            "seed",
            (1..=MAX_SEED).contains(&self.seed.len()) && is_plain(&self.seed),
            "expected 1 to 128 characters on one line",
        )?;
        rule(
            "maxFailurePercent",
            self.max_failure_percent <= 100,
            "at most 100",
        )?;
        rule("pauseSeconds", self.pause_seconds <= MAX_PAUSE, "at most 30 days")?;
        let last = self.opens(self.waves.len() - 1);
        rule(
            "ends",
            last.is_none_or(|last| self.ends.is_none_or(|ends| last < ends)),
            "must be after the time at which the last wave opens",
        )?;
        rule(
            "reason",
            self.stopped != self.reason.is_empty(),
            "is needed when stopped is true, and only then",
        )?;
        rule(
            "reason",
            self.reason.len() <= MAX_REASON && is_plain(&self.reason),
            "expected at most 500 characters on one line",
        )
    }
}

fn is_name(text: &str) -> bool {
    let known = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'.' || c == b'-';
    (1..=MAX_NAME).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(known)
}

fn is_url(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    // The document is public, so it must not contain a password.
    let host = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
    host && text.len() <= MAX_URL && is_plain(text) && !text.contains(' ')
}

fn is_plain(text: &str) -> bool {
    !text.contains(char::is_control)
}
