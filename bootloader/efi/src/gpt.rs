//! Reading a GPT: which partitions a disk has. Knows nothing of firmware.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use gpt_disk_io::gpt_disk_types::{BlockSize, GptHeader, Guid};
use gpt_disk_io::{BlockIo, Disk, DiskError};

/// Most entries that are looked at; our disks have 128, of which 7 are used.
const MAX_ENTRIES: u32 = 512;

/// Holds the partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID.
    pub disk: Guid,
    /// Its partitions, in table order.
    pub partitions: Vec<Partition>,
}

/// Describes one partition. It lies within the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The partition's own GUID.
    pub guid: Guid,
    /// Its name.
    pub name: String,
    /// Its first byte on the disk.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Says why a disk has no usable table.
#[derive(Debug, thiserror::Error)]
pub enum GptError<E: core::fmt::Debug + core::fmt::Display + Send + Sync + 'static> {
    /// The disk cannot be read.
    #[error("partition table cannot be read: {0}")]
    Read(DiskError<E>),
    /// Neither copy of the table is sound.
    #[error("no GPT on the disk")]
    Missing,
}

impl Table {
    /// Finds a partition by name.
    pub fn named(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.name == name)
    }

    /// Reads the table: the copy at the start of the disk, or else the one at its end.
    pub fn read<Io: BlockIo>(io: Io) -> Result<Table, GptError<Io::Error>> {
        let block_size = io.block_size();
        let mut disk = Disk::new(io).map_err(GptError::Read)?;
        let mut block = vec![0; block_size.to_u32() as usize];
        let headers = [
            disk.read_primary_gpt_header(&mut block),
            disk.read_secondary_gpt_header(&mut block),
        ];
        let mut failure = GptError::Missing;
        for header in headers {
            match header.and_then(|header| table(&mut disk, block_size, &header)) {
                Ok(Some(table)) => return Ok(table),
                Ok(None) => {}
                Err(error) => failure = GptError::Read(error),
            }
        }
        Err(failure)
    }
}

/// Reads the entries that a header speaks of; `None` when header or entries are not sound.
fn table<Io: BlockIo>(
    disk: &mut Disk<Io>,
    block_size: BlockSize,
    header: &GptHeader,
) -> Result<Option<Table>, DiskError<Io::Error>> {
    let sound = header.is_signature_valid() && header.header_crc32 == header.calculate_header_crc32();
    let layout = match header.get_partition_entry_array_layout() {
        Ok(layout) if sound && layout.num_entries <= MAX_ENTRIES && layout.entry_size.to_u32() <= 4096 => {
            layout
        }
        _ => return Ok(None),
    };
    let Some(len) = layout.num_bytes_rounded_to_block_as_usize(block_size) else {
        return Ok(None);
    };
    let mut storage = vec![0; len];
    let entries = disk.read_gpt_partition_entry_array(layout, &mut storage)?;
    if entries.calculate_crc32() != header.partition_entry_array_crc32 {
        return Ok(None);
    }
    let partitions = (0..layout.num_entries)
        .filter_map(|index| entries.get_partition_entry(index))
        .filter_map(|entry| {
            let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
            let used = entry.is_used()
                && first >= header.first_usable_lba.to_u64()
                && last <= header.last_usable_lba.to_u64();
            let block = block_size.to_u64();
            let offset = first.checked_mul(block)?;
            let len = last.checked_sub(first)?.checked_add(1)?.checked_mul(block)?;
            used.then(|| Partition {
                guid: entry.unique_partition_guid,
                name: entry.name.to_string(),
                offset,
                len,
            })
        });
    Ok(Some(Table {
        disk: header.disk_guid,
        partitions: partitions.collect(),
    }))
}
