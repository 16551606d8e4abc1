//! Revisions of the config: a change of one that is not in effect any more is refused, rather than lost.

use state::kinds::ConfigStatus;
use state::kinds::config::Pending;

use super::{ApplyError, ConfigHandle};

impl ConfigHandle {
    /// Names the config in effect with this status.
    pub(super) fn revision(&self, status: &ConfigStatus) -> String {
        format!("{:016x}-{}", self.shared.start, status.generation)
    }

    /// Refuses a change of a config that is not in effect any more, or that would take the place of one that waits.
    pub(super) fn expect_revision(&self, status: &ConfigStatus, expected: &str) -> Result<(), ApplyError> {
        match &status.pending {
            _ if self.revision(status) != expected => Err(ApplyError::Changed),
            Some(Pending::Reboot | Pending::Staged) => Err(ApplyError::Waiting),
            Some(Pending::Trying { .. }) | None => Ok(()),
        }
    }
}
