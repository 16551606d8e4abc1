//! Starts the hardware watchdog as soon as its driver is there, so that a system that hangs early is restarted, too.

use std::path::Path;

use state::chain;
use sys::watchdog::{LinuxWatchdog, Watchdog};

use crate::run::watchdog::{DEVICE, TIMEOUT};

/// The watchdog, until PID 1 of the root feeds it. The initramfs ends, well or not, in less than its time.
#[derive(Default)]
pub(super) struct EarlyWatchdog {
    running: Option<LinuxWatchdog>,
    failure: Option<String>,
}

impl EarlyWatchdog {
    /// Starts it, if there is one and it does not run yet.
    pub(super) fn start(&mut self) {
        if self.running.is_none() {
            match LinuxWatchdog::open(Path::new(DEVICE), TIMEOUT) {
                Ok(found) => self.running = found,
                Err(error) => self.failure = Some(chain(&error)),
            }
        }
    }

    /// Feeds it, and leaves it to the next program under the number that is returned.
    pub(super) fn leave(mut self, warnings: &mut Vec<String>) -> Option<i32> {
        warnings.extend(self.failure);
        let running = self.running.as_mut()?;
        let left = running.feed().and_then(|()| running.leave_open());
        left.map_err(|error| warnings.push(chain(&error))).ok()
    }
}
