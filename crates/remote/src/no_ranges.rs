//! Servers that do not support ranges and send the file from its start: how far it has come, and how often it may
//! start over.

use crate::Error;

/// How often a file that comes whole may start over after a cut: each time, all that had come is transferred once more.
const RESENDS: u32 = 3;

/// The state of reading from a server without ranges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRanges {
    /// How far the file has come.
    passed: u64,
    /// How often the file may be read from its start again for bytes that have passed.
    restarts_left: u32,
    /// How often the file may come from its start again after a cut.
    resends_left: u32,
}

impl NoRanges {
    /// Starts before the first byte, with so many restarts allowed.
    pub fn new(restarts: u32) -> Self {
        NoRanges {
            passed: 0,
            restarts_left: restarts,
            resends_left: RESENDS,
        }
    }

    /// Returns true if a byte can no longer come without a restart.
    pub fn has_passed(&self, byte: u64) -> bool {
        byte < self.passed
    }

    /// Notes how far the file has come.
    pub fn advance(&mut self, at: u64) {
        self.passed = self.passed.max(at);
    }

    /// Forgets how far the file came: the server gives ranges after all.
    pub fn reset(&mut self) {
        self.passed = 0;
    }

    /// Starts over from the first byte, for the sake of byte `wanted`.
    ///
    /// # Errors
    ///
    /// [`Error::Backward`] when no restarts are left.
    pub fn restart(&mut self, url: &str, wanted: u64) -> Result<(), Error> {
        let Some(left) = self.restarts_left.checked_sub(1) else {
            return Err(Error::Backward {
                url: url.to_owned(),
                wanted,
            });
        };
        (self.restarts_left, self.passed) = (left, 0);
        Ok(())
    }

    /// Counts a body that starts from the first byte: after a cut, all that had come is transferred once more.
    ///
    /// # Errors
    ///
    /// [`Error::Resent`] when that has happened too often.
    pub fn count_resend(&mut self, url: &str) -> Result<(), Error> {
        if self.passed == 0 {
            return Ok(());
        }
        let Some(left) = self.resends_left.checked_sub(1) else {
            return Err(Error::Resent {
                url: url.to_owned(),
                times: RESENDS,
            });
        };
        self.resends_left = left;
        Ok(())
    }
}
