//! Writes only what differs.

use std::io;

use crate::Medium;
use crate::comparison::Comparison;

/// Bytes read, written and left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Read from the medium to compare.
    pub read: u64,
    /// Written.
    pub written: u64,
    /// Found to be equal, and left alone.
    pub equal: u64,
}

/// Makes a medium hold the wanted content, and counts.
#[derive(Debug, Default)]
pub struct Changes {
    written: u64,
    equal: u64,
    comparison: Comparison,
}

impl Changes {
    /// Returns the counters.
    pub fn tally(&self) -> Tally {
        Tally {
            read: self.comparison.read(),
            written: self.written,
            equal: self.equal,
        }
    }

    /// Makes the medium hold `wanted` at `offset`.
    pub fn write(&mut self, medium: &mut dyn Medium, offset: u64, wanted: &[u8]) -> io::Result<()> {
        let mut written = 0;
        for run in self.comparison.differing(medium, offset, wanted) {
            medium.write_at(offset + run.start as u64, &wanted[run.clone()])?;
            written += run.len() as u64;
        }
        self.written += written;
        self.equal += wanted.len() as u64 - written;
        Ok(())
    }
}
