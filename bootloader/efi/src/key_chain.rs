//! The keys of committed releases: read from BOOTSTATE, and followed from the loader's own keys.

use alloc::vec::Vec;

use manifest::TrustedKey;
use manifest::chain::{self, HEADER, OFFSETS};

use crate::disk::{Disk, DiskFault};
use crate::gpt::Partition;
use crate::pages::Pages;

/// Returns the trusted keys, given the loader's own. A copy that cannot be read counts as damaged; without any, only the
/// loader's own keys are trusted.
pub fn follow(own: &[TrustedKey], disk: &mut Disk, partition: &Partition) -> Vec<TrustedKey> {
    // An empty buffer is not a valid copy.
    let mut copy = |at| read(disk, partition, at).unwrap_or_default();
    let copies = [copy(OFFSETS[0]), copy(OFFSETS[1])];
    chain::follow(own, &chain::load([&copies[0], &copies[1]]).links)
}

/// Reads one copy, as much of it as there is: first its header, which has the length.
fn read(disk: &mut Disk, partition: &Partition, at: u64) -> Result<Vec<u8>, DiskFault> {
    let len = chain::stored_len(&read_blocks(disk, partition, at, HEADER)?);
    if len == 0 {
        return Ok(Vec::new());
    }
    read_blocks(disk, partition, at, len)
}

fn read_blocks(disk: &mut Disk, partition: &Partition, at: u64, len: usize) -> Result<Vec<u8>, DiskFault> {
    let blocks = disk.whole_blocks(len);
    let mut pages = Pages::new(blocks)?;
    disk.read(partition, at, &mut pages[..blocks])?;
    Ok(pages[..len].to_vec())
}
