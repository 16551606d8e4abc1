//! Reads a GPT: the partitions of a disk. Knows nothing about firmware.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use gpt_disk_io::gpt_disk_types::{BlockSize, GptHeader, Guid};
use gpt_disk_io::{BlockIo, Disk, DiskError};

/// The most entries that are read; our disks have 128, of which 7 are used.
const MAX_ENTRIES: u32 = 512;

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID.
    pub disk: Guid,
    /// Its partitions, in table order.
    pub partitions: Vec<Partition>,
}

/// A partition. It lies within the disk.
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

/// Why a disk has no usable table.
#[derive(Debug, thiserror::Error)]
pub enum GptError<E: core::fmt::Debug + core::fmt::Display + Send + Sync + 'static> {
    /// The disk cannot be read.
    #[error("partition table cannot be read: {0}")]
    Read(DiskError<E>),
    /// Neither copy of the table is valid.
    #[error("no GPT on the disk")]
    Missing,
}

impl Table {
    /// Finds a partition by name.
    pub fn named(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.name == name)
    }

    /// Reads the table: the copy at the start of the disk, or else the one at its end.
    pub fn read<Io: BlockIo>(mut io: Io) -> Result<Table, GptError<Io::Error>> {
        let block_size = io.block_size();
        let blocks = io
            .num_blocks()
            .map_err(|error| GptError::Read(DiskError::Io(error)))?;
        let mut disk = Disk::new(io).map_err(GptError::Read)?;
        let mut block = vec![0; block_size.to_u32() as usize];
        let headers = [
            disk.read_primary_gpt_header(&mut block),
            disk.read_secondary_gpt_header(&mut block),
        ];
        let mut failure = GptError::Missing;
        for header in headers {
            match header.and_then(|header| table(&mut disk, block_size, blocks, &header)) {
                Ok(Some(table)) => return Ok(table),
                Ok(None) => {}
                Err(error) => failure = GptError::Read(error),
            }
        }
        Err(failure)
    }
}

/// Reads the entries of a header; `None` when header or entries are invalid.
fn table<Io: BlockIo>(
    disk: &mut Disk<Io>,
    block_size: BlockSize,
    blocks: u64,
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
            // The header is not enough: it may have been written for a larger disk.
            let used = entry.is_used()
                && first >= header.first_usable_lba.to_u64()
                && last <= header.last_usable_lba.to_u64()
                && last < blocks;
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

#[cfg(test)]
mod tests {
    use super::*;
    use gpt_disk_io::gpt_disk_types::{
        GptPartitionEntry, GptPartitionEntryArray, GptPartitionType, LbaLe, U32Le, guid,
    };
    use gpt_disk_io::{BlockIoAdapter, gpt_disk_types::Lba};
    use layout::Name;

    const BLOCKS: u64 = 64;
    const DISK: Guid = guid!("57a7feb6-8cd5-4922-b7bd-c78b0914e870");

    /// A disk with one partition of blocks 20 to 29, and both copies of its table.
    fn disk(block: u32, spoil: impl FnOnce(&mut GptPartitionEntry)) -> Vec<u8> {
        let block_size = BlockSize::new(block).unwrap();
        let mut bytes = vec![0; BLOCKS as usize * block as usize];
        let mut entry = GptPartitionEntry {
            partition_type_guid: GptPartitionType(guid!("ccf0994f-f7e0-4e26-a011-843e38aa2eac")),
            unique_partition_guid: guid!("37c75ffd-8932-467a-9c56-8cf1f0456b12"),
            starting_lba: LbaLe::from_u64(20),
            ending_lba: LbaLe::from_u64(29),
            attributes: Default::default(),
            name: Name::SlotA.as_str().parse().unwrap(),
        };
        spoil(&mut entry);
        let mut header = GptHeader {
            my_lba: LbaLe::from_u64(1),
            alternate_lba: LbaLe::from_u64(BLOCKS - 1),
            first_usable_lba: LbaLe::from_u64(18),
            last_usable_lba: LbaLe::from_u64(46),
            disk_guid: DISK,
            partition_entry_lba: LbaLe::from_u64(2),
            number_of_partition_entries: U32Le::from_u32(4),
            ..Default::default()
        };
        let layout = header.get_partition_entry_array_layout().unwrap();
        let mut storage = vec![0; layout.num_bytes_rounded_to_block_as_usize(block_size).unwrap()];
        let mut entries = GptPartitionEntryArray::new(layout, block_size, &mut storage).unwrap();
        *entries.get_partition_entry_mut(2).unwrap() = entry;
        header.partition_entry_array_crc32 = entries.calculate_crc32();
        header.update_header_crc32();

        let mut disk = Disk::new(BlockIoAdapter::new(bytes.as_mut_slice(), block_size)).unwrap();
        let mut buffer = vec![0; block as usize];
        disk.write_primary_gpt_header(&header, &mut buffer).unwrap();
        disk.write_gpt_partition_entry_array(&entries).unwrap();
        (header.my_lba, header.partition_entry_lba) = (LbaLe::from_u64(BLOCKS - 1), LbaLe::from_u64(47));
        header.update_header_crc32();
        entries.set_start_lba(Lba(47));
        disk.write_secondary_gpt_header(&header, &mut buffer).unwrap();
        disk.write_gpt_partition_entry_array(&entries).unwrap();
        drop(disk);
        bytes
    }

    fn read(bytes: &[u8], block: u32) -> Option<Table> {
        Table::read(BlockIoAdapter::new(bytes, BlockSize::new(block).unwrap())).ok()
    }

    #[test]
    fn partitions_are_found_on_any_block_size() {
        for block in [512, 4096] {
            let table = read(&disk(block, |_| {}), block).unwrap();
            let slot = table.named(Name::SlotA.as_str()).unwrap();
            assert_eq!(
                (slot.offset, slot.len),
                (20 * u64::from(block), 10 * u64::from(block))
            );
            assert_eq!((table.disk, table.partitions.len()), (DISK, 1));
            assert_eq!(table.named(Name::SlotB.as_str()), None);
        }
    }

    #[test]
    fn either_copy_is_enough() {
        let whole = disk(512, |_| {});
        let expected = read(&whole, 512);
        for damage in [512 + 60, 1024 + 256 + 3, 63 * 512 + 60, 47 * 512 + 256 + 3] {
            let mut bytes = whole.clone();
            bytes[damage] ^= 1;
            assert_eq!(read(&bytes, 512), expected, "byte {damage}");
        }
        let mut bytes = whole;
        (bytes[512 + 60], bytes[63 * 512 + 60]) = (0xff, 0xff);
        assert_eq!(read(&bytes, 512), None);
    }

    #[test]
    fn partitions_outside_the_disk_are_not_listed() {
        for (first, last) in [(0, 29), (20, 47), (29, 20), (u64::MAX, u64::MAX), (20, u64::MAX)] {
            let bytes = disk(512, |entry| {
                (entry.starting_lba, entry.ending_lba) = (LbaLe::from_u64(first), LbaLe::from_u64(last));
            });
            assert_eq!(read(&bytes, 512).unwrap().partitions, [], "{first} to {last}");
        }
    }

    #[test]
    fn a_truncated_disk_has_no_partition_beyond_its_end() {
        let whole = disk(512, |_| {});
        assert_eq!(read(&whole[..30 * 512], 512).unwrap().partitions.len(), 1);
        assert_eq!(read(&whole[..29 * 512], 512).unwrap().partitions, []);
    }

    /// A header with a valid checksum may claim anything: it costs neither memory nor a panic.
    #[test]
    fn absurd_headers_are_skipped() {
        type Spoil = fn(&mut GptHeader);
        let spoils: &[Spoil] = &[
            |header| header.number_of_partition_entries = U32Le::from_u32(u32::MAX),
            |header| header.size_of_partition_entry = U32Le::from_u32(1 << 31),
            |header| header.size_of_partition_entry = U32Le::from_u32(0),
            |header| header.partition_entry_lba = LbaLe::from_u64(u64::MAX),
            |header| header.partition_entry_lba = LbaLe::from_u64(BLOCKS),
        ];
        for (index, spoil) in spoils.iter().enumerate() {
            let mut bytes = disk(512, |_| {});
            bytes[63 * 512..].fill(0);
            let mut header = GptHeader {
                number_of_partition_entries: U32Le::from_u32(4),
                ..GptHeader::default()
            };
            spoil(&mut header);
            header.update_header_crc32();
            let mut disk = Disk::new(BlockIoAdapter::new(bytes.as_mut_slice(), BlockSize::BS_512)).unwrap();
            disk.write_primary_gpt_header(&header, &mut [0; 512]).unwrap();
            drop(disk);
            assert_eq!(read(&bytes, 512), None, "case {index}");
        }
    }
}
