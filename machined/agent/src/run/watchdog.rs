//! Feeds the hardware watchdog, where there is one: when machined hangs, the machine restarts.
//!
//! It is started in the initramfs, as soon as its driver is loaded: see `initramfs::watchdog`.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use state::kinds::{NODE, WatchdogStatus};
use state::{Action, Controller, ControllerError, Resource, Store};
use sys::watchdog::{LinuxWatchdog, Watchdog};

/// The machine's first watchdog.
pub const DEVICE: &str = "/dev/watchdog0";
/// Longer than anything machined may be busy with, shorter than anybody's patience.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// A driver that is loaded late is found after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

type Open = fn() -> sys::Result<Option<Box<dyn Watchdog>>>;

/// Sole owner of [`WatchdogStatus`].
pub struct WatchdogFeeder {
    open: Open,
    watchdog: Option<Box<dyn Watchdog>>,
}

impl WatchdogFeeder {
    /// Makes the controller for the machine's first watchdog, which may run already: its number in this process.
    pub fn new(running: Option<i32>) -> Self {
        let open: Open = || {
            let found = LinuxWatchdog::open(Path::new(DEVICE), TIMEOUT)?;
            Ok(found.map(|watchdog| Box::new(watchdog) as Box<dyn Watchdog>))
        };
        let taken = running.map(|number| LinuxWatchdog::take_over(Path::new(DEVICE), number, TIMEOUT));
        let watchdog = match taken {
            Some(Ok(watchdog)) => Some(Box::new(watchdog) as Box<dyn Watchdog>),
            Some(Err(error)) => {
                tracing::error!("{}", state::chain(&error));
                None
            }
            None => None,
        };
        WatchdogFeeder { open, watchdog }
    }
}

#[async_trait]
impl Controller for WatchdogFeeder {
    fn name(&self) -> &'static str {
        "watchdog"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[WatchdogStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        if self.watchdog.is_none() {
            self.watchdog = (self.open)()?;
        }
        let Some(watchdog) = &mut self.watchdog else {
            store.put(
                "watchdog",
                NODE,
                WatchdogStatus {
                    armed: false,
                    timeout_seconds: 0,
                    restarted: false,
                },
            )?;
            return Ok(Action::After(LOOK_AGAIN));
        };
        watchdog.feed()?;
        let (timeout, restarted) = (watchdog.timeout(), watchdog.has_restarted());
        if restarted
            && store
                .get::<WatchdogStatus>(NODE)
                .is_none_or(|status| !status.restarted)
        {
            tracing::warn!("the system that ran before hung, and the watchdog restarted the machine");
        }
        store.put(
            "watchdog",
            NODE,
            WatchdogStatus {
                armed: true,
                timeout_seconds: timeout.as_secs(),
                restarted,
            },
        )?;
        // Two meals may be missed.
        Ok(Action::After(timeout / 3))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use sys::watchdog::RecordingWatchdog;

    use super::*;

    #[tokio::test]
    async fn feeds_thrice_in_its_time() {
        let watchdog = RecordingWatchdog::default();
        let meals = watchdog.fed.clone();
        let mut feeder = WatchdogFeeder {
            open: || Ok(None),
            watchdog: Some(Box::new(watchdog)),
        };
        let store = Store::new();
        let action = feeder.reconcile(&store).await.unwrap();
        assert_eq!(action, Action::After(Duration::from_secs(5)));
        assert_eq!(meals.load(Ordering::SeqCst), 1);
        assert!(store.get::<WatchdogStatus>(NODE).unwrap().armed);
    }

    #[tokio::test]
    async fn looks_for_one_that_comes_late() {
        let mut feeder = WatchdogFeeder {
            open: || Ok(None),
            watchdog: None,
        };
        let store = Store::new();
        assert_eq!(feeder.reconcile(&store).await.unwrap(), Action::After(LOOK_AGAIN));
        feeder.open = || Ok(Some(Box::new(RecordingWatchdog::default())));
        feeder.reconcile(&store).await.unwrap();
        assert!(store.get::<WatchdogStatus>(NODE).unwrap().armed);
    }
}
