//! A package that was fetched: what everything else works with.

use std::path::PathBuf;

use board::{Arch, Suite};

/// A package on this host's disk, its hash checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its name.
    pub name: String,
    /// The architecture it is for.
    pub arch: Arch,
    /// The Debian suite that it was asked of; without one, the suite that all images are made of.
    pub suite: Option<Suite>,
    /// Its version.
    pub version: String,
    /// Size of the `.deb`.
    pub size: u64,
    /// SHA-256 of the `.deb`, as hex.
    pub sha256: String,
    /// Where it is.
    pub path: PathBuf,
}
