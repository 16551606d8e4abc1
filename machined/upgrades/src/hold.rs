//! Holds an upgrade back until its rollout still wants it.

use super::handle::UpgradeHandle;
use super::history::Entry;
use super::rollout_verdict::{self, HoldReason};

impl UpgradeHandle {
    /// Returns why an upgrade that a rollout started is held back although it could continue. Others are not held back.
    pub(super) fn hold_reason(&self, entry: &Entry) -> Option<HoldReason> {
        let pin = entry.pin()?;
        let feed = self.config().rollout;
        let shared = &self.shared;
        let last = shared.word.last();
        let url = feed.as_ref().map(|feed| feed.url.as_str());
        rollout_verdict::hold_reason(pin, url, last.as_ref(), shared.context.clock.since_boot())
    }

    /// Returns the same, and requests a poll if that may help.
    pub(super) fn hold_or_poll(&self, entry: &Entry) -> Option<String> {
        let HoldReason { text, ask } = self.hold_reason(entry)?;
        if ask {
            self.shared.word.ask();
        }
        Some(text)
    }
}
