//! The diary in the BOOTSTATE partition: two copies, of which the older one is overwritten.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::diary::{self, AREA, Diary, OFFSETS};

/// The partition, or a file in a test.
#[derive(Debug, Clone)]
pub struct DiaryFile {
    device: PathBuf,
}

/// What both copies together say, and where the next write goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Loaded {
    diary: Option<Diary>,
    generation: u64,
    write_to: usize,
}

impl DiaryFile {
    /// Wraps the partition; nothing is read yet.
    pub fn new(device: impl Into<PathBuf>) -> Self {
        DiaryFile {
            device: device.into(),
        }
    }

    /// Reads the newer valid copy.
    pub fn read(&self) -> io::Result<Option<Diary>> {
        Ok(self.load()?.diary)
    }

    /// Overwrites the older copy, and waits until it is on the medium. An interrupted write leaves the newer one.
    pub fn write(&self, diary: &Diary) -> io::Result<()> {
        let before = self.load()?;
        let bytes = diary::encode(before.generation.wrapping_add(1), diary);
        let mut file = File::options().write(true).open(&self.device)?;
        file.seek(SeekFrom::Start(OFFSETS[before.write_to]))?;
        file.write_all(&bytes)?;
        file.sync_data()
    }

    fn load(&self) -> io::Result<Loaded> {
        let mut file = File::open(&self.device)?;
        // A copy that cannot be read counts as damaged.
        let mut copy = |offset| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(offset)).ok()?;
            let copy = Read::by_ref(&mut file).take(AREA as u64);
            { copy }.read_to_end(&mut bytes).ok()?;
            diary::decode(&bytes).ok()
        };
        Ok(newer(copy(OFFSETS[0]), copy(OFFSETS[1])))
    }
}

fn newer(first: Option<(u64, Diary)>, second: Option<(u64, Diary)>) -> Loaded {
    let loaded = |(generation, diary), write_to| Loaded {
        diary: Some(diary),
        generation,
        write_to,
    };
    match (first, second) {
        // The count may wrap: the copies are never more than one write apart.
        (Some(first), Some(second)) if first.0.wrapping_sub(second.0) < u64::MAX / 2 => loaded(first, 1),
        (Some(first), None) => loaded(first, 1),
        (_, Some(second)) => loaded(second, 0),
        (None, None) => Loaded::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::diary::TrialStage;
    use super::super::diary::tests::diary;
    use super::*;

    fn area() -> (tempfile::NamedTempFile, DiaryFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024 * 1024).unwrap();
        let diary = DiaryFile::new(file.path());
        (file, diary)
    }

    #[test]
    fn the_last_entry_is_read_and_the_slot_record_is_left_alone() {
        let (file, on_disk) = area();
        let record = super::super::RecordFile::new(file.path());
        let initial = slots::Record::initial();
        let bad = initial.mark_bad(slots::Slot::B, slots::Reason::NotHealthy);
        record.write(&record.read().unwrap(), &initial).unwrap();
        record.write(&record.read().unwrap(), &bad).unwrap();
        assert_eq!(on_disk.read().unwrap(), None);
        for uptime_ms in 0..5 {
            let written = Diary { uptime_ms, ..diary() };
            on_disk.write(&written).unwrap();
            assert_eq!(on_disk.read().unwrap(), Some(written));
        }
        assert_eq!(record.read().unwrap().generation, 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// Interrupt a write at any byte: the entry is the old one or the new one.
        #[test]
        fn a_torn_write_loses_nothing(writes in 1usize..4, cut: prop::sample::Index) {
            let (file, on_disk) = area();
            for _ in 0..writes {
                on_disk.write(&diary()).unwrap();
            }
            let before = on_disk.load().unwrap();
            let new = Diary { stage: TrialStage::Healthy, ..diary() };
            let bytes = diary::encode(before.generation + 1, &new);
            let cut = cut.index(bytes.len() + 1);
            let mut raw = file.as_file();
            raw.seek(SeekFrom::Start(OFFSETS[before.write_to])).unwrap();
            raw.write_all(&bytes[..cut]).unwrap();
            // Where the old copy ends with the same bytes, the new one is whole before its last byte is written.
            let read = on_disk.read().unwrap().unwrap();
            prop_assert!(read == new || cut < bytes.len() && read == diary());
        }
    }
}
