//! Has the board's own firmware try other files, when the node asked for it.

use bootloader_core::mailbox::ask_for_trial;
use bootloader_core::{device_tree, firmware_try};
use firmware_trial::{MARK_LEN, MARK_OFFSET, Mark, Stage, Started, decode, encode};
use layout::Name;

use crate::console::say;
use crate::devicetree;
use crate::disk::{DiskFault, Own};
use crate::machine;
use crate::mailbox::Mapped;
use crate::pages::Pages;

/// Returns how the firmware was started, if it says so. Does not return if the firmware is to try other files: the machine is
/// then reset, after the try was counted on the disk.
pub fn consider(own: &mut Own) -> Option<Started> {
    let tree = devicetree::of_firmware()?;
    let started = device_tree::started(&tree)?;
    let mark = read(own).ok().flatten();
    let Some(counted) = firmware_try(mark.as_ref(), started) else {
        return Some(started);
    };
    if let Err(error) = write(own, &counted) {
        say!("new firmware is not tried, since that cannot be counted: {error}");
        return Some(started);
    }
    match ask(&tree, &counted) {
        Ok(()) => {
            say!("the firmware tries new files: restarting");
            machine::restart()
        }
        Err(fault) => {
            say!("new firmware is not tried: {fault}");
            if let Err(error) = write(own, &counted.at(Stage::Unanswered)) {
                say!("that cannot be noted: {error}");
            }
            Some(started)
        }
    }
}

/// Why the firmware was not asked.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the device tree has no {0:?}")]
    NoMailbox(alloc::string::String),
    #[error("no memory for a message: {0}")]
    Memory(uefi::Status),
    #[error(transparent)]
    Mailbox(#[from] bootloader_core::mailbox::MailboxFault),
}

fn ask(tree: &[u8], mark: &Mark) -> Result<(), Fault> {
    let name = mark.mailbox.as_str();
    let base = device_tree::registers(tree, name).ok_or_else(|| Fault::NoMailbox(name.into()))?;
    let mut mailbox = Mapped::new(base).map_err(|error| Fault::Memory(error.status()))?;
    Ok(ask_for_trial(&mut mailbox)?)
}

fn read(own: &mut Own) -> Result<Option<Mark>, DiskFault> {
    let partition = own
        .table
        .named(Name::BootState.as_str())
        .ok_or(DiskFault::NoBootstate)?;
    let len = own.disk.whole_blocks(MARK_LEN);
    let mut page = Pages::new(len)?;
    own.disk.read(partition, MARK_OFFSET, &mut page[..len])?;
    Ok(decode(&page))
}

/// Writes a mark and reads it back: a card that lost the write must not be trusted.
fn write(own: &mut Own, mark: &Mark) -> Result<(), DiskFault> {
    let partition = own
        .table
        .named(Name::BootState.as_str())
        .ok_or(DiskFault::NoBootstate)?;
    let len = own.disk.whole_blocks(MARK_LEN);
    let mut page = Pages::new(len)?;
    page[..MARK_LEN].copy_from_slice(&encode(mark));
    own.disk.write(partition, MARK_OFFSET, &page[..len])?;
    match read(own)? {
        Some(found) if found == *mark => Ok(()),
        _ => Err(DiskFault::Lost),
    }
}
