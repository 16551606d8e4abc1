//! The state of the rollout at one address.

use std::time::Duration;

use crate::follow::error::PollError;
use machine_config::v1alpha1::RolloutFeed;
use rollout::Rollout;
use state::chain;

use super::poll_interval;

/// The state of the rollout at one address. Another address starts with an empty one.
pub(super) struct Feed {
    /// Where the document is.
    pub url: String,
    /// The polling interval.
    pub interval: Duration,
    /// When to poll next, on the monotonic clock.
    pub due: Duration,
    /// The newest version, including from before a restart.
    pub newest: Option<Rollout>,
    /// When it was read, in seconds since 1970.
    pub looked: Option<u64>,
    /// When the last poll ended, on the monotonic clock; none if there was none since the node started.
    pub ended: Option<Duration>,
    /// Why the last poll failed.
    pub error: Option<String>,
}

impl Feed {
    /// Starts to follow, as the node with this name.
    pub fn new(config: &RolloutFeed, name: &str, newest: Option<Rollout>, now: Duration) -> Self {
        let (url, interval) = (config.url.as_str(), config.interval.duration());
        Feed {
            url: url.to_owned(),
            interval,
            due: now + poll_interval::first(interval, rollout::position(url, name)),
            newest,
            looked: None,
            ended: None,
            error: None,
        }
    }

    /// Applies the polling interval of the config.
    pub fn set_interval(&mut self, interval: Duration, now: Duration) {
        if self.interval != interval {
            self.interval = interval;
            self.due = self.due.min(now + interval);
        }
    }

    /// Records the end of a poll; returns true if there is a version that may be acted upon.
    pub fn looked(&mut self, found: Result<Rollout, PollError>, unix: u64, now: Duration) -> bool {
        let fresh = match found {
            Ok(rollout) => {
                (self.newest, self.looked, self.error) = (Some(rollout), Some(unix), None);
                true
            }
            Err(error) => {
                self.error = Some(chain(&error));
                false
            }
        };
        self.ended = Some(now);
        self.due = now + poll_interval::next(self.interval, !fresh);
        fresh
    }
}
