//! Writes only what differs to a medium, and reads a slot back against its hash tree.
//!
//! [`Medium`] is a disk, a partition or a file; tests have their own, which inject faults. [`Changes`] compares before
//! it writes, which spares flash cells and, reads being faster than writes, time. [`check_slot`] verifies that a slot
//! holds what its signed root hash covers. Flashing and upgrading share this crate; it makes no decisions for either.

mod changes;
mod comparison;
mod copies;
mod direct;
mod file;
mod slot;

pub use changes::{Changes, Tally};
pub use comparison::Comparison;
pub use copies::read_copies;
pub use file::FileMedium;
pub use slot::{SlotError, check_slot};

use std::io;

/// Something to read from: every [`Medium`], and what only reads.
pub trait Source {
    /// Reads exactly `out.len()` bytes.
    fn read_bytes(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl<M: Medium + ?Sized> Source for M {
    fn read_bytes(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, out)
    }
}

/// Flushes a medium that somebody else writes to.
pub trait Flush {
    /// Returns once everything that had been written before would survive a power cut.
    fn flush(&mut self) -> io::Result<()>;
}

/// Something with bytes at offsets.
pub trait Medium {
    /// Returns the number of bytes.
    fn len(&self) -> u64;

    /// Returns true if it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads exactly `out.len()` bytes.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes`. They may stay in a volatile cache until [`sync`](Self::sync).
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything that was written would survive a power cut.
    fn sync(&mut self) -> io::Result<()>;

    /// Makes the next reads come from the medium itself, not from a cache of the host.
    fn drop_cache(&mut self) -> io::Result<()>;

    /// Returns a second way to the bytes, which leads past every cache of the host and can be used while this one writes; `None`
    /// where there is no such way. It sees what was written before the last [`sync`](Self::sync).
    fn follower(&self) -> io::Result<Option<Box<dyn Source + Send>>> {
        Ok(None)
    }

    /// Returns what does the same as [`sync`](Self::sync) while this one writes on; `None` where there is no such way.
    fn flusher(&self) -> io::Result<Option<Box<dyn Flush + Send>>> {
        Ok(None)
    }

    /// Discards the bytes of a range; returns false when the medium does not support that.
    fn discard(&mut self, _offset: u64, _len: u64) -> bool {
        false
    }
}
