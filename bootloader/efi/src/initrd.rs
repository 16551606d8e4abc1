//! Handing over the initramfs: the kernel asks the firmware for it, and the firmware asks us.
#![expect(unsafe_code)]
// UNSAFETY: implements a firmware protocol, which is called back through raw pointers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;

use uefi::proto::device_path::DevicePath;
use uefi::proto::device_path::build::{DevicePathBuilder, media::Vendor};
use uefi::{Guid, Handle, Identify, Result, Status, boot, guid};
use uefi_raw::Boolean;
use uefi_raw::protocol::device_path::DevicePathProtocol;
use uefi_raw::protocol::media::LoadFile2Protocol;

use crate::slot::VerifiedPart;

/// LINUX_EFI_INITRD_MEDIA_GUID: the kernel looks for a file at the device path that is this one vendor node.
const INITRD_MEDIA: Guid = guid!("5568e427-68fc-4f3d-ac74-ca555231cc68");

/// Offers an initramfs for as long as it lives.
pub struct Offer {
    handle: Handle,
    file: Box<File>,
    path: Vec<u8>,
}

/// The protocol comes first, so that the firmware's pointer to it is a pointer to all of this.
#[repr(C)]
struct File {
    protocol: LoadFile2Protocol,
    part: VerifiedPart,
}

impl Offer {
    /// Publishes the initramfs on a handle of its own.
    pub fn new(part: VerifiedPart) -> Result<Offer> {
        let mut path = Vec::new();
        let built = DevicePathBuilder::with_vec(&mut path)
            .push(&Vendor {
                vendor_guid: INITRD_MEDIA,
                vendor_defined_data: &[],
            })
            .and_then(DevicePathBuilder::finalize)
            .map(|_| ());
        built.map_err(|_| Status::OUT_OF_RESOURCES)?;
        let file = Box::new(File {
            protocol: LoadFile2Protocol { load_file },
            part,
        });
        // SAFETY: `path` is a finished device path on the heap, kept by the value we return until it is uninstalled.
        let handle = unsafe {
            boot::install_protocol_interface(None, &DevicePathProtocol::GUID, path.as_ptr().cast())?
        };
        // SAFETY: `file` is on the heap, and kept likewise.
        let installed = unsafe {
            boot::install_protocol_interface(
                Some(handle),
                &LoadFile2Protocol::GUID,
                (&raw const *file).cast(),
            )
        };
        if let Err(error) = installed {
            // SAFETY: the interface is the one installed above.
            unsafe { boot::uninstall_protocol_interface(handle, &DevicePath::GUID, path.as_ptr().cast())? };
            return Err(error);
        }
        Ok(Offer { handle, file, path })
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // SAFETY: both interfaces were installed on this handle by `new`, and the kernel that could use them came back.
        let removed = unsafe {
            boot::uninstall_protocol_interface(
                self.handle,
                &LoadFile2Protocol::GUID,
                (&raw const *self.file).cast(),
            )
            .and(boot::uninstall_protocol_interface(
                self.handle,
                &DevicePathProtocol::GUID,
                self.path.as_ptr().cast(),
            ))
        };
        if removed.is_err() {
            // The firmware still points here: memory that is kept is better than memory that changes under it.
            let path = core::mem::take(&mut self.path);
            core::mem::forget(path);
        }
    }
}

/// The firmware's `LoadFile`: says how long the file is, then copies it.
unsafe extern "efiapi" fn load_file(
    this: *mut LoadFile2Protocol,
    _path: *const DevicePathProtocol,
    boot_policy: Boolean,
    size: *mut usize,
    buffer: *mut c_void,
) -> Status {
    if this.is_null() || size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    if boot_policy != Boolean::FALSE {
        return Status::UNSUPPORTED;
    }
    // SAFETY: the firmware passes the pointer that `new` installed, which is the first field of a living `File`.
    let bytes = unsafe { &*this.cast::<File>() }.part.bytes();
    // SAFETY: not null, and the caller's own variable by the protocol's contract.
    let room = unsafe { size.replace(bytes.len()) };
    if buffer.is_null() || room < bytes.len() {
        return Status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller says that `buffer` has `room` bytes, and it is no memory of ours.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast(), bytes.len()) };
    Status::SUCCESS
}
