//! What is known of the rollout at one address.

use std::time::Duration;

use machine_config::v1alpha1::RolloutFeed;
use rollout::Rollout;

use super::poll_interval;

/// What is known. Another address starts anew.
pub(super) struct Feed {
    /// Where the document is.
    pub url: String,
    /// How often the node looks.
    pub interval: Duration,
    /// When to look next, on the clock that never jumps.
    pub due: Duration,
    /// The newest version, from before a restart, too.
    pub newest: Option<Rollout>,
    /// When it was read, in seconds since 1970.
    pub looked: Option<u64>,
    /// When the last look ended, on the clock that never jumps; none since the node started.
    pub ended: Option<Duration>,
    /// Why the last look came to nothing.
    pub error: Option<String>,
}

impl Feed {
    /// Begins to follow, as the node of a name.
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

    /// Looks as often as the config says now.
    pub fn set_interval(&mut self, interval: Duration, now: Duration) {
        if self.interval != interval {
            self.interval = interval;
            self.due = self.due.min(now + interval);
        }
    }

    /// Takes note of a look's end; tells whether there is a version that may be acted upon.
    pub fn looked(&mut self, found: Result<Rollout, String>, unix: u64, now: Duration) -> bool {
        let fresh = match found {
            Ok(rollout) => {
                (self.newest, self.looked, self.error) = (Some(rollout), Some(unix), None);
                true
            }
            Err(error) => {
                self.error = Some(error);
                false
            }
        };
        self.ended = Some(now);
        self.due = now + poll_interval::next(self.interval, !fresh);
        fresh
    }
}
