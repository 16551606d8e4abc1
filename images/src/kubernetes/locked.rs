//! Which programs the lock file names.

use board::Arch;
use kubernetes::Version;
use serde::{Deserialize, Serialize};

/// An exact program of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedProgram {
    /// The release, such as `1.36.2`.
    pub version: String,
    /// The architecture it is for.
    pub arch: Arch,
    /// Its name.
    pub name: String,
    /// Its size.
    pub size: u64,
    /// Its SHA-512, as hex.
    pub sha512: String,
}

/// Finds a program.
pub(super) fn find<'a>(
    lock: &'a [LockedProgram],
    version: Version,
    name: &str,
    arch: Arch,
) -> Option<&'a LockedProgram> {
    let version = version.to_string();
    lock.iter()
        .find(|locked| locked.version == version && locked.name == name && locked.arch == arch)
}
