//! A cache of compressed frames and patches, from one build to the next.

use manifest::Digest;

/// Remembers packed frames from one build to the next: packing well is slow, and most frames of a release are those of
/// the last one.
///
/// What it gives is checked before it is used, so it may forget, mix up or damage anything.
pub trait Memory: Send + Sync {
    /// Returns what was remembered for a key.
    fn recall(&self, key: &Digest) -> Option<Vec<u8>>;

    /// Remembers something for a key, if it likes.
    fn remember(&self, key: &Digest, packed: &[u8]);
}
