//! What STATE remembers: the files of the release that were on the partition when it was last in order.

use std::io;
use std::path::Path;

use firmware_files::{LONGEST_LIST, Listed};
use serde::{Deserialize, Serialize};

/// Files of a release that were on the partition, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Memory {
    /// The version of the release.
    pub version: String,
    /// Its files, with the lines of the machine config of that time.
    pub files: Vec<Listed>,
}

impl Memory {
    /// Reads it. What cannot be read is as good as nothing: files of an older release then count as changed.
    pub(crate) fn read(path: &Path) -> Memory {
        let text = text::load(path, LONGEST_LIST).ok();
        text.and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// Writes it, if it is not there already.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        if *self == Memory::read(path) {
            return Ok(());
        }
        let text = serde_json::to_string(self)?;
        sys::durable::write(path, text.as_bytes(), 0o644)
    }
}
