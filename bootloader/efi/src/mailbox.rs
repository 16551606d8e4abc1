//! The mailbox of a board's own firmware, in memory.
#![expect(unsafe_code)]
// UNSAFETY: reads and writes registers, and memory that another processor changes.

use core::hint::spin_loop;
use core::ptr::NonNull;
use core::time::Duration;

use bootloader_core::mailbox::{Message, Port, Register};
use uefi::boot::{self, AllocateType, MemoryType};

/// The firmware sees the first GiB of memory alone.
const HIGHEST: u64 = (1 << 30) - 1;
/// By these bits of an address the firmware reads memory past its own caches.
const UNCACHED: u32 = 0xc000_0000;
/// The length of a cache line at most: a message takes one of its own.
const LINE: usize = 64;
const _: () = assert!(size_of::<Message>() == LINE);

/// Registers at an address, and a page for messages.
pub struct Mapped {
    base: u64,
    /// Never freed: firmware that answers late would write into somebody else's memory.
    message: NonNull<u8>,
}

impl Mapped {
    /// Takes the address of the registers, which the firmware's device tree has.
    pub fn new(base: u64) -> uefi::Result<Mapped> {
        let message = boot::allocate_pages(AllocateType::MaxAddress(HIGHEST), MemoryType::LOADER_DATA, 1)?;
        Ok(Mapped { base, message })
    }

    fn register(&self, register: Register) -> *mut u32 {
        (self.base as usize + register as usize) as *mut u32
    }

    /// Brings the message from the cache into memory, and forgets it there.
    fn flush(&self) {
        let _line = self.message.as_ptr();
        #[cfg(target_arch = "aarch64")]
        // SAFETY: cleaning and invalidating a line of our own page loses nothing; the barriers order it with the registers.
        unsafe {
            core::arch::asm!("dsb sy", "dc civac, {}", "dsb sy", in(reg) _line, options(nostack));
        }
    }
}

impl Port for Mapped {
    fn load(&mut self, register: Register) -> u32 {
        // SAFETY: the device tree says that the mailbox has its registers here, and the firmware has them mapped.
        unsafe { self.register(register).read_volatile() }
    }

    fn store(&mut self, register: Register, value: u32) {
        // SAFETY: as above.
        unsafe { self.register(register).write_volatile(value) }
    }

    fn put(&mut self, message: &Message) -> u32 {
        // SAFETY: the page is ours, aligned, and longer than a message.
        unsafe { self.message.cast::<Message>().write_volatile(*message) };
        self.flush();
        self.message.addr().get() as u32 | UNCACHED
    }

    fn get(&mut self) -> Message {
        self.flush();
        // SAFETY: as above; any bytes are a message.
        unsafe { self.message.cast::<Message>().read_volatile() }
    }

    fn pause(&mut self) {
        spin_loop();
        boot::stall(Duration::from_millis(1));
    }
}
