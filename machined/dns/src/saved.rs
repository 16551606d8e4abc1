//! What was known last, kept in a file for the time when the API is away.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use cluster_zone::{Contents, Zone};
use serde::{Deserialize, Serialize};

use crate::settings::{Settings, read};

/// The most bytes of the file: more than the most that a zone holds.
const LARGEST: u64 = 64 << 20;
/// The version of the file's form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    version: u32,
    cluster: String,
    domain: String,
    contents: Contents,
}

/// The file, and what of the zone is in it.
pub(crate) struct Saved<'a> {
    settings: &'a Settings,
    revision: Option<u64>,
}

impl<'a> Saved<'a> {
    /// Returns the file of these settings.
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Saved {
            settings,
            revision: None,
        }
    }

    /// Makes the zone be what the file says, and tells whether there was one. A file of another cluster is none.
    ///
    /// # Errors
    ///
    /// A file that cannot be read. The zone is as before.
    pub(crate) fn restore(&mut self, zone: &mut Zone) -> io::Result<bool> {
        let bytes = match read(&self.settings.saved, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            read => read?,
        };
        let file: File = serde_json::from_slice(&bytes)?;
        let ours = file.cluster == self.settings.cluster && file.domain == self.settings.domain;
        if file.version != VERSION || !ours {
            return Ok(false);
        }
        zone.restore(file.contents);
        zone.set_synced();
        self.revision = Some(zone.revision());
        Ok(true)
    }

    /// Writes the file, unless it holds the same already.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn save(&mut self, zone: &Arc<RwLock<Zone>>) -> io::Result<()> {
        let (revision, contents) = {
            let zone = zone.read().unwrap_or_else(PoisonError::into_inner);
            if self.revision == Some(zone.revision()) {
                return Ok(());
            }
            (zone.revision(), zone.contents())
        };
        let bytes = serde_json::to_vec(&File {
            version: VERSION,
            cluster: self.settings.cluster.clone(),
            domain: self.settings.domain.clone(),
            contents,
        })?;
        // A card wears with each write.
        if !is_same(&self.settings.saved, &bytes) {
            sys::durable::write(&self.settings.saved, &bytes, 0o600)?;
        }
        self.revision = Some(revision);
        Ok(())
    }
}

fn is_same(path: &Path, bytes: &[u8]) -> bool {
    read(path, LARGEST).is_ok_and(|held| held == bytes)
}
