//! Page-aligned memory, for what is too large or too particular for the heap.
#![expect(unsafe_code)]
// UNSAFETY: turns the firmware's page allocations into slices, and frees them.

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use uefi::boot::{self, AllocateType, MemoryType, PAGE_SIZE};
use uefi::{Result, Status};

/// Zeroed, page-aligned memory; freed when dropped.
///
/// Page alignment satisfies every block device's `IoAlign`, so disks can read straight into it.
pub struct Pages {
    start: NonNull<u8>,
    count: usize,
}

impl Pages {
    /// Allocates at least `len` bytes for data of the loader.
    pub fn new(len: usize) -> Result<Pages> {
        Pages::of_type(MemoryType::LOADER_DATA, len)
    }

    /// Allocates at least `len` bytes that the kernel treats as `memory_type`.
    pub fn of_type(memory_type: MemoryType, len: usize) -> Result<Pages> {
        let count = len.div_ceil(PAGE_SIZE).max(1);
        let bytes = count.checked_mul(PAGE_SIZE).ok_or(Status::OUT_OF_RESOURCES)?;
        let start = boot::allocate_pages(AllocateType::AnyPages, memory_type, count)?;
        // SAFETY: the firmware just gave us these pages; nobody else knows of them.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Pages { start, count })
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `count` pages that are ours and initialised since `of_type`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count * PAGE_SIZE) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably, so this is the only reference.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.count * PAGE_SIZE) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: these are the pages of `of_type`, and no reference outlives `self`. Firmware that cannot free them
        // keeps them, which harms nobody.
        let _kept = unsafe { boot::free_pages(self.start, self.count) };
    }
}
