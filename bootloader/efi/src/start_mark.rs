//! The start mark in its partition: written only when another disk looks the same to the kernel.

use alloc::vec::Vec;

use layout::Name;
use slots::start_mark::{START_MARK_LEN, START_MARK_OFFSET, StartMark, decode, encode, next};

use crate::disk::{Disk, DiskFault, Own};
use crate::gpt::Table;
use crate::pages::Pages;

/// Marks our disk so that the kernel can distinguish it from its copies, and returns the number for the kernel arguments;
/// `None` when there is no copy, and the kernel has not requested a mark.
pub fn write(own: &mut Own) -> Result<Option<u64>, DiskFault> {
    // A mark that cannot be read has no number that could be confused with ours.
    let mut found: Vec<Option<StartMark>> = own
        .twins
        .iter_mut()
        .map(|(disk, table)| read(disk, table).unwrap_or(None))
        .collect();
    let ours = read(&mut own.disk, &own.table).unwrap_or(None);
    if found.is_empty() && !matches!(ours, Some(StartMark::Asked(_))) {
        return Ok(None);
    }
    found.push(ours);
    let number = next(found);
    let partition = own
        .table
        .named(Name::BootState.as_str())
        .ok_or(DiskFault::NoBootstate)?;
    let len = own.disk.whole_blocks(START_MARK_LEN);
    let mut page = Pages::new(len)?;
    page[..START_MARK_LEN].copy_from_slice(&encode(StartMark::Started(number)));
    own.disk.write(partition, START_MARK_OFFSET, &page[..len])?;
    Ok(Some(number))
}

fn read(disk: &mut Disk, table: &Table) -> Result<Option<StartMark>, DiskFault> {
    let partition = table
        .named(Name::BootState.as_str())
        .ok_or(DiskFault::NoBootstate)?;
    let len = disk.whole_blocks(START_MARK_LEN);
    let mut page = Pages::new(len)?;
    disk.read(partition, START_MARK_OFFSET, &mut page[..len])?;
    Ok(decode(&page))
}
