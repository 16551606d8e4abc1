//! Paths in JSON.

use std::path::Path;

use serde::Serializer;

/// Serializes a path: bytes that are not UTF-8 as `�`, rather than failing.
pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}
