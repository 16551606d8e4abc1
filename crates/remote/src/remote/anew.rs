//! Servers without ranges, which send the file from its start: how often they are made to.

use super::Remote;
use crate::Error;

/// How often a file that comes whole may begin anew after a cut: each time all that was there already is paid for once more.
pub(super) const RESENDS: u32 = 3;

impl Remote {
    /// Lets a server without ranges send the file from its start again, if that is allowed.
    pub(super) fn begin_anew(&mut self, wanted: u64) -> Result<(), Error> {
        let Some(left) = self.options.restarts.checked_sub(1) else {
            return Err(Error::Backward {
                url: self.address.shown.clone(),
                wanted,
            });
        };
        if let Some(told) = &self.options.told {
            told("the server gives no ranges: reading the file from its start again");
        }
        self.options.restarts = left;
        (self.body, self.passed) = (None, 0);
        Ok(())
    }

    /// Counts a file that comes from its start again after a cut: each time all that was there already is paid for anew.
    pub(super) fn count_resent(&mut self) -> Result<(), Error> {
        if self.passed == 0 {
            return Ok(());
        }
        let Some(left) = self.resends_left.checked_sub(1) else {
            return Err(Error::Resent {
                url: self.address.shown.clone(),
                times: RESENDS,
            });
        };
        self.resends_left = left;
        Ok(())
    }
}
