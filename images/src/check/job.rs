//! What is checked, and what a check finds out.

use std::io;
use std::path::{Path, PathBuf};

use manifest::TrustedKey;
use serde::Serialize;

use crate::erofs::Tool;

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// All is as it should be.
    Passed(String),
    /// Something is not.
    Failed(String),
    /// The tool for it is not installed, or there is nothing to check.
    Skipped(String),
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// What was found out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Finding {
    /// Names what was checked.
    pub(super) fn new(check: &'static str, outcome: Outcome) -> Finding {
        Finding { check, outcome }
    }
}

/// An image could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bundle cannot be opened.
    #[error("cannot open {path}; was it signed with another key? name its public key with --key")]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: bundle::Error,
    },
    /// Its content is not what its manifest says.
    #[error("{path} is damaged")]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: bundle::Error,
    },
}

/// A bundle, and what is checked with it.
pub struct Job<'a> {
    /// The bundle; what belongs to it lies beside it.
    pub bundle: &'a Path,
    /// Public key files; the first verifies the manifest beside the bundle.
    pub key_files: &'a [PathBuf],
    /// The same keys, parsed.
    pub keys: &'a [TrustedKey],
    /// The pinned tools of EROFS.
    pub erofs: &'a Tool,
}
