//! Partition tables: two readers, the loader's and the shared one, on a damaged disk.

use std::io::{self, Read, Seek, SeekFrom};

use arbitrary::{Arbitrary, Unstructured};
use gpt_disk_io::BlockIo;
use gpt_disk_io::gpt_disk_types::{BlockSize, Lba};
use layout::{DiskSpec, Guids, Layout, SECTOR, TABLE_HEAD, TABLE_TAIL, Table};

use crate::loader_gpt;

const MIB: u64 = 1024 * 1024;

/// A disk that was flashed once, and the changes to its tables since.
#[derive(Debug, Arbitrary)]
struct Case {
    slot_mib: u8,
    first_mib: u8,
    spare_mib: u8,
    odd_bytes: u16,
    hybrid: bool,
    edits: Vec<Edit>,
    /// Set when a copy's checksums are recomputed after the edits.
    repaired: [bool; 2],
}

#[derive(Debug, Arbitrary)]
struct Edit {
    /// In the copy at the end.
    backup: bool,
    place: Place,
    /// A byte more or a whole number.
    wide: bool,
    value: u64,
}

#[derive(Debug, Arbitrary)]
enum Place {
    Mbr(u16),
    Header(u8),
    Entry(u8, u8),
}

/// Whatever the tables say: no panic, nothing outside the disk, and no two readers that see different partitions.
pub fn table(data: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let flashed = case.flashed();
    let mut medium = Medium::with(&flashed);
    let edits = &case.edits[..case.edits.len().min(6)];
    for edit in edits {
        medium.edit(edit);
    }
    for (copy, repaired) in case.repaired.into_iter().enumerate() {
        if repaired {
            medium.repair(copy == 1);
        }
    }

    let read = Table::read(&mut medium);
    let loader = loader_gpt::Table::read(medium.clone());
    let damaged = [false, true].map(|backup| edits.iter().any(|edit| edit.backup == backup));
    if (damaged != [true; 2] && case.repaired == [false; 2]) && edits.iter().all(Edit::is_checked) {
        assert_eq!(read.as_ref().ok(), Some(&flashed), "one copy is enough");
    }
    if let Ok(table) = &read {
        promises(table);
    }
    if let Ok(table) = &loader {
        for partition in &table.partitions {
            let end = partition.offset.checked_add(partition.len);
            assert!(
                end.is_some_and(|end| end <= medium.len),
                "{partition:?} is outside the disk"
            );
        }
    }
    if let Ok(table) = &read {
        let loader = loader.expect("where the agent finds partitions, the loader finds some");
        assert_eq!(loader.disk.to_string(), table.guids.disk.to_string());
        for (name, extent) in table.layout.partitions() {
            let partition = loader
                .named(name.as_str())
                .unwrap_or_else(|| panic!("the loader misses {name:?}"));
            assert_eq!(
                (partition.offset, partition.len),
                (extent.start, extent.len),
                "{name:?}"
            );
        }
    }
}

impl Case {
    fn flashed(&self) -> Table {
        let spec = DiskSpec {
            slot_size: (u64::from(self.slot_mib) + 1) * MIB,
            first_partition: (u64::from(self.first_mib) + 1) * MIB,
        };
        let least = Layout::least(&spec).expect("whole MiB");
        let medium = least + u64::from(self.spare_mib) * MIB + u64::from(self.odd_bytes);
        Table {
            layout: Layout::for_medium(&spec, medium).expect("the medium is large enough"),
            guids: Guids::from_seed(b"fuzz"),
            hybrid: self.hybrid,
        }
    }
}

impl Edit {
    /// Returns true if a checksum covers the place.
    fn is_checked(&self) -> bool {
        !matches!(self.place, Place::Mbr(_))
    }
}

fn promises(table: &Table) {
    let mut end = TABLE_HEAD;
    for (name, extent) in table.layout.partitions() {
        assert!(
            extent.start >= end && extent.len > 0,
            "{name:?} overlaps what is before it"
        );
        assert!(extent.start.is_multiple_of(layout::ALIGN) && extent.len.is_multiple_of(SECTOR));
        end = extent.end();
    }
    assert!(
        end <= table.layout.table_tail().start,
        "the backup table has its place"
    );
    let again = Table::read(&mut Medium::with(table)).expect("what was read can be written");
    assert_eq!(again, *table);
}

/// A disk with content only at its two ends.
#[derive(Clone, Debug)]
struct Medium {
    head: Vec<u8>,
    tail: Vec<u8>,
    len: u64,
    at: u64,
}

impl Medium {
    fn with(table: &Table) -> Self {
        let images = table.images().expect("a table can be written");
        Self {
            head: images.head,
            tail: images.tail,
            len: table.layout.medium(),
            at: 0,
        }
    }

    /// Returns a copy's header and entries.
    fn copy(&mut self, backup: bool) -> (&mut [u8], &mut [u8]) {
        let sector = SECTOR as usize;
        if backup {
            let (entries, header) = self.tail.split_at_mut(TABLE_TAIL as usize - sector);
            (header, entries)
        } else {
            let (header, entries) = self.head[sector..].split_at_mut(sector);
            (header, entries)
        }
    }

    fn edit(&mut self, edit: &Edit) {
        let (bytes, at) = match edit.place {
            Place::Mbr(at) => (&mut self.head[..SECTOR as usize], usize::from(at) % 512),
            Place::Header(at) => (self.copy(edit.backup).0, usize::from(at) % 92),
            Place::Entry(number, at) => {
                let at = usize::from(number % 9) * 128 + usize::from(at) % 128;
                (self.copy(edit.backup).1, at)
            }
        };
        if edit.wide {
            let value = edit.value.to_le_bytes();
            let len = value.len().min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&value[..len]);
        } else {
            bytes[at] ^= edit.value as u8;
        }
    }

    /// Recomputes the checksums of a copy.
    fn repair(&mut self, backup: bool) {
        let (header, entries) = self.copy(backup);
        let field =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let len = (field(80) as usize)
            .saturating_mul(field(84) as usize)
            .min(entries.len());
        let crc = crc32fast::hash(&entries[..len]);
        header[88..92].copy_from_slice(&crc.to_le_bytes());
        header[16..20].fill(0);
        let crc = crc32fast::hash(&header[..92]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
    }

    /// Fills `out` with the content at `at`: between the two ends there are zeros.
    fn fill(&self, at: u64, out: &mut [u8]) {
        out.fill(0);
        let tail = self.len / SECTOR * SECTOR - TABLE_TAIL;
        for (bytes, start) in [(&self.head, 0), (&self.tail, tail)] {
            let from = at.max(start);
            let to = (at + out.len() as u64).min(start + bytes.len() as u64);
            if from < to {
                let there = &bytes[(from - start) as usize..(to - start) as usize];
                out[(from - at) as usize..(to - at) as usize].copy_from_slice(there);
            }
        }
    }
}

impl Read for Medium {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(self.len.saturating_sub(self.at) as usize);
        self.fill(self.at, &mut out[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Medium {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("seek before the start"))?;
        Ok(self.at)
    }
}

/// The error for blocks outside the disk, as in firmware.
#[derive(Debug, thiserror::Error)]
#[error("outside the disk")]
struct Outside;

impl BlockIo for Medium {
    type Error = Outside;

    fn block_size(&self) -> BlockSize {
        BlockSize::BS_512
    }

    fn num_blocks(&mut self) -> Result<u64, Outside> {
        Ok(self.len / SECTOR)
    }

    fn read_blocks(&mut self, start: Lba, out: &mut [u8]) -> Result<(), Outside> {
        let start = start.to_u64().checked_mul(SECTOR).ok_or(Outside)?;
        let end = start.checked_add(out.len() as u64).ok_or(Outside)?;
        if end > self.len / SECTOR * SECTOR {
            return Err(Outside);
        }
        self.fill(start, out);
        Ok(())
    }

    fn write_blocks(&mut self, _: Lba, _: &[u8]) -> Result<(), Outside> {
        Err(Outside)
    }

    fn flush(&mut self) -> Result<(), Outside> {
        Ok(())
    }
}
