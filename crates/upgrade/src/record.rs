//! The slot record in its partition.

use std::io;

use medium::{Medium, read_copies};
use slots::{COPY_OFFSETS, Loaded, RECORD_LEN, Record, load};

/// The BOOTSTATE partition.
pub struct SlotRecord<'a> {
    medium: &'a mut dyn Medium,
}

impl<'a> SlotRecord<'a> {
    /// Wraps the partition; nothing is read yet.
    pub fn new(medium: &'a mut dyn Medium) -> Self {
        SlotRecord { medium }
    }

    /// Reads both copies. One that cannot be read counts as damaged, as it does for the loader.
    pub fn read(&mut self) -> io::Result<Loaded> {
        let mut copies = [[0; RECORD_LEN]; 2];
        read_copies(self.medium, &mut copies, COPY_OFFSETS)?;
        Ok(load(&copies[0], &copies[1]))
    }

    /// Writes a changed record over the older copy, waits until it is on the medium, and reads it back. An unchanged
    /// record is not written again.
    ///
    /// # Errors
    ///
    /// Fails when the record is no longer `before`: a decision based on that may be wrong by now.
    pub fn write(&mut self, before: &Loaded, record: &Record) -> io::Result<Loaded> {
        if self.read()? != *before {
            return Err(io::Error::other(
                "it was changed by something else in the meantime: try again",
            ));
        }
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
