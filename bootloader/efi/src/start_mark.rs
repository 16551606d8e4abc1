//! The start mark on its partition: written only when another disk looks the same to the kernel.

use slots::start_mark::{START_MARK_LEN, START_MARK_OFFSET, decode, encode, next};

use crate::disk::{Disk, DiskFault, Own};
use crate::gpt::Table;
use crate::pages::Pages;

/// Marks our disk so that the kernel can tell it from its copies, and returns the number to pass on; `None` when it has no
/// copy.
pub fn write(own: &mut Own) -> Result<Option<u64>, DiskFault> {
    if own.twins.is_empty() {
        return Ok(None);
    }
    // What cannot be read has no number that ours could be taken for.
    let mut found = own
        .twins
        .iter_mut()
        .map(|(disk, table)| read(disk, table).unwrap_or(None))
        .collect::<alloc::vec::Vec<_>>();
    found.push(read(&mut own.disk, &own.table).unwrap_or(None));
    let number = next(found);
    let partition = own.table.named("BOOTSTATE").ok_or(DiskFault::NoBootstate)?;
    let len = own.disk.whole_blocks(START_MARK_LEN);
    let mut page = Pages::new(len)?;
    page[..START_MARK_LEN].copy_from_slice(&encode(number));
    own.disk.write(partition, START_MARK_OFFSET, &page[..len])?;
    Ok(Some(number))
}

fn read(disk: &mut Disk, table: &Table) -> Result<Option<u64>, DiskFault> {
    let partition = table.named("BOOTSTATE").ok_or(DiskFault::NoBootstate)?;
    let len = disk.whole_blocks(START_MARK_LEN);
    let mut page = Pages::new(len)?;
    disk.read(partition, START_MARK_OFFSET, &mut page[..len])?;
    Ok(decode(&page))
}
