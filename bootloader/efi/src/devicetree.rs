//! Passes our own device tree to the kernel, if the firmware's is missing or unusable.
#![expect(unsafe_code)]
// UNSAFETY: calls U-Boot's fix-up protocol, and installs a configuration table.

use alloc::vec::Vec;
use core::ffi::c_void;
use core::{ptr, slice};

use manifest::{DeviceTreePreference, Manifest, Part};
use uefi::boot::{self, MemoryType, OpenProtocolAttributes, OpenProtocolParams};
use uefi::proto::unsafe_protocol;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Guid, Result, Status, StatusExt, guid, system};

use crate::pages::Pages;
use crate::slot::VerifiedPart;

const DTB_TABLE: Guid = guid!("b1b621d5-f19c-41a5-830b-d9152c69aae0");

/// Space for what the fix-up adds: memory, serial number, MAC addresses, reservations.
const SLACK: usize = 64 * 1024;

/// A device tree begins with this, and its length in bytes.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// The longest device tree that is read.
const LONGEST: usize = 1 << 20;

/// EFI_DT_APPLY_FIXUPS | EFI_DT_RESERVE_MEMORY. We install it ourselves, so that it can be undone.
const FIXUPS: u32 = 1 | 2;

/// U-Boot's EFI_DT_FIXUP_PROTOCOL.
#[repr(C)]
#[unsafe_protocol("e617d64c-fe08-46da-f4dc-bbd5870c7300")]
struct DtFixup {
    revision: u64,
    fixup: unsafe extern "efiapi" fn(
        this: *mut DtFixup,
        fdt: *mut c_void,
        size: *mut usize,
        flags: u32,
    ) -> Status,
}

/// Selects the part to pass on; `None` when the firmware's own description stays.
///
/// Ours is used if the manifest says so. Otherwise only a machine without device tree and ACPI gets it: the firmware's
/// description is made for this board.
pub fn choose(manifest: &Manifest) -> Option<&Part> {
    let trees = manifest.device_trees.as_ref()?;
    let described = find_table(DTB_TABLE)
        .or(find_table(ConfigTableEntry::ACPI2_GUID))
        .is_some();
    if trees.prefer == DeviceTreePreference::Firmware && described {
        return None;
    }
    manifest.device_tree(&trees.default)
}

/// Returns a copy of the firmware's own device tree, if it has one.
pub fn of_firmware() -> Option<Vec<u8>> {
    let table = find_table(DTB_TABLE)
        .filter(|table| !table.is_null())?
        .cast::<u8>();
    // SAFETY: the firmware lists a device tree at this address, and each has a header of more than eight bytes.
    let header = unsafe { slice::from_raw_parts(table, 8) };
    let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if header[..4] != MAGIC || !(8..=LONGEST).contains(&len) {
        return None;
    }
    // SAFETY: the header has the magic number, so this is its length. Nothing changes the tree while we copy it.
    Some(unsafe { slice::from_raw_parts(table, len) }.to_vec())
}

/// Installs a device tree for as long as it lives; then the firmware's is restored.
pub struct Installed {
    before: *const c_void,
    _ours: Pages,
}

impl Installed {
    /// Makes the firmware fix the tree up if it can, and installs it.
    pub fn new(part: &VerifiedPart) -> Result<Installed> {
        let tree = fixed_up(part.bytes())?;
        let before = find_table(DTB_TABLE).unwrap_or(ptr::null());
        // SAFETY: the pages are of a type that the kernel keeps, and live until the table is replaced again.
        unsafe { boot::install_configuration_table(&DTB_TABLE, tree.as_ptr().cast())? };
        Ok(Installed { before, _ours: tree })
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // SAFETY: what was there before is the firmware's and still is; null removes the entry. If that fails, nothing
        // can be done, and the next slot's tree replaces the entry anyway.
        let _failed = unsafe { boot::install_configuration_table(&DTB_TABLE, self.before) };
    }
}

fn fixed_up(tree: &[u8]) -> Result<Pages> {
    let mut room = tree.len() + SLACK;
    loop {
        let mut pages = Pages::of_type(MemoryType::ACPI_RECLAIM, room)?;
        pages[..tree.len()].copy_from_slice(tree);
        let Some(status) = fix_up(&mut pages, &mut room) else {
            return Ok(pages);
        };
        match status {
            Status::BUFFER_TOO_SMALL if room > pages.len() => {}
            status => return status.to_result_with_val(|| pages),
        }
    }
}

/// Calls the firmware's fix-up; `None` when it has none. `room` becomes the space that it requires.
fn fix_up(pages: &mut Pages, room: &mut usize) -> Option<Status> {
    let handle = boot::get_handle_for_protocol::<DtFixup>().ok()?;
    let params = OpenProtocolParams {
        handle,
        agent: boot::image_handle(),
        controller: None,
    };
    // SAFETY: the protocol is the firmware's own and never removed.
    let mut protocol =
        unsafe { boot::open_protocol::<DtFixup>(params, OpenProtocolAttributes::GetProtocol) }.ok()?;
    *room = pages.len();
    let this: *mut DtFixup = &raw mut *protocol;
    // SAFETY: the tree lies in `pages`, whose length is passed; the firmware writes no further.
    Some(unsafe { ((*this).fixup)(this, pages.as_mut_ptr().cast(), room, FIXUPS) })
}

fn find_table(guid: Guid) -> Option<*const c_void> {
    system::with_config_table(|entries| {
        entries
            .iter()
            .find(|entry| entry.guid == guid)
            .map(|entry| entry.address)
    })
}
