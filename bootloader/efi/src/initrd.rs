//! Passes the initramfs to the kernel, which requests it through the firmware.
#![expect(unsafe_code)]
// UNSAFETY: implements a firmware protocol, which is called back through raw pointers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::NonNull;

use uefi::proto::device_path::build::{DevicePathBuilder, media::Vendor};
use uefi::{Guid, Handle, Result, Status, boot, guid};
use uefi_raw::Boolean;
use uefi_raw::protocol::device_path::DevicePathProtocol;
use uefi_raw::protocol::media::LoadFile2Protocol;

use crate::slot::VerifiedPart;

/// LINUX_EFI_INITRD_MEDIA_GUID: the kernel looks for a file at the device path with this single vendor node.
const INITRD_MEDIA: Guid = guid!("5568e427-68fc-4f3d-ac74-ca555231cc68");

/// Offers an initramfs for as long as it lives.
pub struct Offer {
    handle: Handle,
    shared: NonNull<Shared>,
}

/// What the firmware has pointers to. The protocol is first, so that a pointer to it is also a pointer to the whole.
#[repr(C)]
struct Shared {
    protocol: LoadFile2Protocol,
    part: VerifiedPart,
    path: Vec<u8>,
}

impl Offer {
    /// Publishes the initramfs on a handle of its own.
    pub fn new(part: VerifiedPart) -> Result<Offer> {
        let mut path = Vec::new();
        DevicePathBuilder::with_vec(&mut path)
            .push(&Vendor {
                vendor_guid: INITRD_MEDIA,
                vendor_defined_data: &[],
            })
            .and_then(DevicePathBuilder::finalize)
            .map_err(|_| Status::OUT_OF_RESOURCES)?;
        let shared = Box::leak(Box::new(Shared {
            protocol: LoadFile2Protocol { load_file },
            part,
            path,
        }));
        let path = shared.path.as_ptr();
        let shared = NonNull::from(shared);
        // SAFETY: `path` is a finished device path, and lives in `shared` until `drop` has uninstalled it.
        let handle =
            unsafe { boot::install_protocol_interface(None, &DevicePathProtocol::GUID, path.cast())? };
        let offer = Offer { handle, shared };
        // SAFETY: `shared` starts with the protocol, and lives likewise.
        unsafe {
            boot::install_protocol_interface(Some(handle), &LoadFile2Protocol::GUID, shared.as_ptr().cast())?;
        }
        Ok(offer)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // SAFETY: nobody but the firmware, through these two interfaces, looks at `shared`; it is not calling now.
        let path = unsafe { self.shared.as_ref() }.path.as_ptr();
        let remove = |protocol, interface: *const c_void| {
            // SAFETY: the interface is the one that `new` installed, and the kernel that could use it came back.
            unsafe { boot::uninstall_protocol_interface(self.handle, protocol, interface) }
        };
        let file = remove(&LoadFile2Protocol::GUID, self.shared.as_ptr().cast_const().cast());
        // Not installed: `new` failed half-way.
        let file_gone = file.is_ok() || file.is_err_and(|error| error.status() == Status::NOT_FOUND);
        let path_gone = remove(&DevicePathProtocol::GUID, path.cast()).is_ok();
        // What the firmware still points to is leaked: that is better than memory that changes under it.
        if file_gone && path_gone {
            // SAFETY: leaked by `new`, and nothing points to it any more.
            drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
        }
    }
}

/// The firmware's `LoadFile`: returns the file's length, then copies it.
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
    // SAFETY: the firmware passes the pointer that `new` installed, which is the first field of a living `Shared`.
    let bytes = unsafe { &*this.cast::<Shared>() }.part.bytes();
    // SAFETY: not null, and the caller's own variable by the protocol's contract.
    let room = unsafe { size.replace(bytes.len()) };
    if buffer.is_null() || room < bytes.len() {
        return Status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller says that `buffer` has `room` bytes, and it is no memory of ours.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast(), bytes.len()) };
    Status::SUCCESS
}
