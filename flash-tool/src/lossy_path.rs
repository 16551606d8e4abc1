//! Paths in JSON.

use std::path::Path;

use serde::Serializer;

/// Writes a path into JSON: what is not UTF-8 in it as `�`, rather than nothing at all.
pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}
