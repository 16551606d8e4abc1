//! The slot record in the BOOTSTATE partition, and the manifests in the slots.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use manifest::{Digest, Manifest, trailer};
use medium::FileMedium;
use slots::{Loaded, Record};
use upgrade::SlotRecord;

/// The partition, or a file in a test.
#[derive(Debug, Clone)]
pub struct RecordFile {
    device: PathBuf,
}

impl RecordFile {
    /// Wraps the partition; nothing is read yet.
    pub fn new(device: impl Into<PathBuf>) -> Self {
        RecordFile {
            device: device.into(),
        }
    }

    /// Reads both copies.
    pub fn read(&self) -> io::Result<Loaded> {
        SlotRecord::new(&mut FileMedium::new(File::open(&self.device)?)?).read()
    }

    /// Writes a changed record over the older copy, waits until it is on the medium, and reads it back past the cache.
    pub fn write(&self, before: &Loaded, record: &Record) -> io::Result<()> {
        let file = File::options().read(true).write(true).open(&self.device)?;
        // Between checking that it is still the same and writing, nothing else in this process writes.
        file.lock()?;
        let written = SlotRecord::new(&mut FileMedium::new(file)?).write(before, record);
        written.map(drop)
    }
}

/// The content of a slot's trailer.
#[derive(Debug, Clone)]
pub struct InSlot {
    /// The manifest.
    pub manifest: Manifest,
    /// Its JSON, byte for byte.
    pub json: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<u8>,
}

impl InSlot {
    /// Returns the hash of the manifest, in hex, which identifies the release.
    pub fn id(&self) -> String {
        Digest::of(&self.json).to_string()
    }
}

/// Reads the manifest in a slot with its signatures, if it holds one. Given the hash that the loader verified, only that
/// manifest is returned; without one the result is only for display.
pub fn release_in(slot: &Path, verified: Option<&str>) -> Option<InSlot> {
    let mut file = File::open(slot).ok()?;
    let len = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(len.checked_sub(trailer::AREA as u64)?))
        .ok()?;
    let mut area = vec![0; trailer::AREA];
    file.read_exact(&mut area).ok()?;
    let found = trailer::decode(&area).ok()?;
    if verified.is_some_and(|hash| Digest::of(found.json).to_string() != hash) {
        return None;
    }
    Some(InSlot {
        manifest: Manifest::parse_unverified(found.json).ok()?,
        json: found.json.to_vec(),
        signatures: found.signatures.to_vec(),
    })
}

/// The same, without the texts.
pub fn manifest_in(slot: &Path, verified: Option<&str>) -> Option<Manifest> {
    release_in(slot, verified).map(|release| release.manifest)
}

#[cfg(test)]
mod tests {
    use slots::{Slot, SlotState};

    use super::*;

    #[test]
    fn changes_go_to_the_older_copy_and_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * 1024).unwrap();
        let on_disk = RecordFile::new(file.path());
        let empty = on_disk.read().unwrap();
        assert_eq!(empty.record, None);
        on_disk.write(&empty, &Record::initial()).unwrap();
        let first = on_disk.read().unwrap();
        on_disk
            .write(&first, &Record::initial().arm_trial(Slot::B, 3))
            .unwrap();
        let second = on_disk.read().unwrap();
        assert_ne!(first.write_to, second.write_to);
        assert_eq!(
            second.record.unwrap().slot(Slot::B),
            SlotState::Trial { tries: 3 }
        );
        assert_eq!(second.generation, first.generation + 1);
    }
}
