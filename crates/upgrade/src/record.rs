//! The slot record on its partition.

use std::io;

use medium::Medium;
use slots::{COPY_OFFSETS, Loaded, RECORD_LEN, Record, load};

/// The BOOTSTATE partition.
pub struct SlotRecord<'a> {
    medium: &'a mut dyn Medium,
}

impl<'a> SlotRecord<'a> {
    /// Takes the partition; nothing is read yet.
    pub fn new(medium: &'a mut dyn Medium) -> Self {
        SlotRecord { medium }
    }

    /// Reads both copies.
    pub fn read(&mut self) -> io::Result<Loaded> {
        let mut copies = [[0; RECORD_LEN]; 2];
        for (copy, offset) in copies.iter_mut().zip(COPY_OFFSETS) {
            self.medium.read_at(offset, copy)?;
        }
        Ok(load(&copies[0], &copies[1]))
    }

    /// Writes a changed record over the older copy, waits until it is on the medium, and reads it back. A record that is
    /// there already is not written again.
    pub fn write(&mut self, before: &Loaded, record: &Record) -> io::Result<Loaded> {
        if before.record == Some(*record) {
            return Ok(*before);
        }
        let (offset, bytes) = before.next(record);
        self.medium.write_at(offset, &bytes)?;
        self.medium.sync()?;
        self.medium.drop_cache()?;
        let after = self.read()?;
        if after == before.written(*record) {
            return Ok(after);
        }
        Err(io::Error::other(
            "it reads back differently from what was written: the medium fails",
        ))
    }
}
