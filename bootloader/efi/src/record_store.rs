//! The slot record on its partition.

use alloc::vec::Vec;

use slots::{COPY_OFFSETS, Loaded, RECORD_LEN, Record};

use crate::disk::{Disk, DiskFault};
use crate::gpt::Partition;
use crate::pages::Pages;

/// Reads and writes the two copies in BOOTSTATE.
pub struct RecordStore {
    partition: Partition,
    loaded: Loaded,
}

impl RecordStore {
    /// Reads both copies. A copy that cannot be read counts as damaged: the other one decides.
    pub fn load(disk: &mut Disk, partition: Partition) -> RecordStore {
        // An empty buffer is not a valid copy.
        let mut copy = |at| read(disk, &partition, at).map_or(Vec::new(), |page| page[..RECORD_LEN].to_vec());
        let loaded = slots::load(&copy(COPY_OFFSETS[0]), &copy(COPY_OFFSETS[1]));
        RecordStore { partition, loaded }
    }

    /// Returns the record that was read, or last written.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Writes the older copy, flushes, and reads it back: a card that lost the write must not be trusted.
    pub fn store(&mut self, disk: &mut Disk, record: Record) -> Result<(), StoreError> {
        let (at, bytes) = self.loaded.next(&record);
        // Blocks may be longer than a copy; the rest of them is unused.
        let mut page = Pages::new(RECORD_LEN)?;
        page[..RECORD_LEN].copy_from_slice(&bytes);
        let len = disk.whole_blocks(RECORD_LEN);
        disk.write(&self.partition, at, &page[..len])
            .map_err(StoreError::Write)?;
        let stored = read(disk, &self.partition, at).map_err(StoreError::Write)?;
        if stored[..RECORD_LEN] != bytes {
            return Err(StoreError::Lost);
        }
        self.loaded = self.loaded.written(record);
        Ok(())
    }
}

fn read(disk: &mut Disk, partition: &Partition, at: u64) -> Result<Pages, DiskFault> {
    let len = disk.whole_blocks(RECORD_LEN);
    let mut page = Pages::new(len)?;
    disk.read(partition, at, &mut page[..len])?;
    Ok(page)
}

/// Why a record is not on the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The partition table does not list BOOTSTATE.
    #[error("slot record cannot be written: the disk has no partition BOOTSTATE")]
    Missing,
    /// The firmware failed the transfer.
    #[error("slot record cannot be written")]
    Write(#[source] DiskFault),
    /// The firmware claims success, but the old bytes are still there.
    #[error("slot record was written, but is not there")]
    Lost,
}

impl From<uefi::Error> for StoreError {
    fn from(error: uefi::Error) -> StoreError {
        StoreError::Write(error.into())
    }
}
