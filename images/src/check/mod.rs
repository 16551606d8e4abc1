//! Takes finished images apart with tools that are not ours, and says what they find.
//!
//! [`subject`] unpacks a bundle, [`tools`] asks minisign, veritysetup and the file system checkers, [`rules`] holds what
//! a root may contain. A check that finds something is a [`Finding`]; an error means that it could not look.

pub mod rules;
pub mod subject;
pub mod tools;

use std::io;
use std::path::{Path, PathBuf};

use manifest::TrustedKey;
use serde::Serialize;

use crate::erofs::Tool;
use subject::Subject;

/// What one check found out.
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

/// Runs all checks on a bundle and on what lies beside it.
pub fn run(job: &Job<'_>) -> Result<Vec<Finding>, CheckError> {
    let subject = Subject::unpack(job)?;
    let mut findings = vec![
        finding("manifest signature (minisign)", tools::signature(job)),
        finding("hash tree and root hash (veritysetup)", tools::verity(&subject)),
        finding("root file system (fsck.erofs)", tools::erofs(job, &subject)),
        finding("EFI system partition (fsck.vfat)", tools::vfat(&subject.esp)),
        finding("loader trusts the keys", subject.loader_keys(job.keys)),
    ];
    match rules::walk(&subject.root) {
        Ok(files) => findings.extend(rules::all(&files, &subject.manifest)),
        Err(source) => {
            return Err(CheckError::Access {
                path: subject.root.clone(),
                source,
            });
        }
    }
    let image = job.bundle.with_extension("img");
    if image.is_file() {
        findings.push(finding(
            "disk image: checksum (sha256sum)",
            tools::checksum(&image),
        ));
        findings.push(finding(
            "disk image: partition table (sgdisk)",
            tools::partition_table(&image),
        ));
        findings.push(finding(
            "disk image: block map (bmaptool)",
            tools::block_map(&image, subject.scratch.path()),
        ));
        findings.push(finding(
            "disk image: EFI system partition (fsck.vfat)",
            subject.esp_of_image(&image),
        ));
        findings.push(finding(
            "disk image: slot A (veritysetup)",
            tools::slot_of_image(&image, &subject),
        ));
    }
    Ok(findings)
}

fn finding(check: &'static str, outcome: Outcome) -> Finding {
    Finding { check, outcome }
}
