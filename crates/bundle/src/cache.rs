//! A cache of compressed frames and patches, from one build to the next.

use manifest::Digest;

/// Keeps compressed frames from one build to the next: compressing well is slow, and most frames of a release are the
/// same as in the previous one.
///
/// What it returns is verified before it is used, so it may lose or damage any entry.
pub trait Cache: Send + Sync {
    /// Returns the entry of a key.
    fn get(&self, key: &Digest) -> Option<Vec<u8>>;

    /// Stores an entry; a cache may ignore it.
    fn insert(&self, key: &Digest, packed: &[u8]);
}
