//! One poll of the document, in a task of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use node::power::Power;
use state::tasks::caught;
use tokio::sync::Notify;

use super::error::PollError;
use super::fetch::{Ask, Fetch, Texts};

/// The timeout of a poll, for a server that sends byte after byte.
const LIMIT: Duration = Duration::from_secs(180);

/// The address and the result of a poll.
type PollOutcome = (String, Result<Texts, PollError>);

/// Polls, one at a time, and rings a bell when it is done.
pub(super) struct Poller {
    fetch: Arc<dyn Fetch>,
    power: Power,
    bell: Arc<Notify>,
    found: Arc<Mutex<Option<PollOutcome>>>,
    looks: bool,
}

impl Poller {
    /// Makes a poller with this way to fetch, and this bell.
    pub fn new(fetch: Arc<dyn Fetch>, power: Power, bell: Arc<Notify>) -> Self {
        Poller {
            fetch,
            power,
            bell,
            found: Arc::default(),
            looks: false,
        }
    }

    /// Returns the bell that rings when there is a result.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// Returns true if a poll is in progress, or its result was not taken yet.
    pub fn is_polling(&self) -> bool {
        self.looks
    }

    /// Starts a poll.
    pub fn begin(&mut self, ask: Ask) {
        self.looks = true;
        let (fetch, power) = (self.fetch.clone(), self.power.clone());
        let (bell, place) = (self.bell.clone(), self.found.clone());
        tokio::spawn(async move {
            let (url, stop) = (ask.url.clone(), ask.stop.clone());
            // If this one never ended, no other would ever start.
            let texts = caught(within_limits(fetch, ask, &stop, power)).await;
            let texts = texts.unwrap_or_else(|panic| Err(PollError::Panicked(panic)));
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((url, texts));
            bell.notify_one();
        });
    }

    /// Takes the result of a poll, if one has ended.
    pub fn take(&mut self) -> Option<PollOutcome> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.looks &= found.is_none();
        found
    }
}

async fn within_limits(
    fetch: Arc<dyn Fetch>,
    ask: Ask,
    stop: &AtomicBool,
    power: Power,
) -> Result<Texts, PollError> {
    let mut work = tokio::task::spawn_blocking(move || fetch.fetch(&ask));
    let too_long = tokio::select! {
        // Cancel safe: the task goes on, and is waited for below.
        done = &mut work => return Ok(done??),
        // Cancel safe: dropping a sleep has no effect.
        () = tokio::time::sleep(LIMIT) => true,
        // Cancel safe: asks only for a state.
        _ = power.wait() => false,
    };
    stop.store(true, Ordering::Relaxed);
    match too_long {
        true => Err(PollError::TooLong(LIMIT)),
        false => Err(PollError::Stopping),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Fetch for Broken {
        fn fetch(&self, _: &Ask) -> Result<Texts, remote::Error> {
            panic!("a server said something new")
        }
    }

    #[tokio::test]
    async fn a_poll_that_panics_ends_so_that_another_can_start() {
        let bell = Arc::new(Notify::new());
        let mut poller = Poller::new(Arc::new(Broken), Power::default(), bell.clone());
        for _ in 0..2 {
            poller.begin(Ask {
                url: "https://example.org/rollout.yaml".into(),
                proxy: None,
                authority: None,
                stop: Arc::default(),
            });
            bell.notified().await;
            assert!(poller.take().is_some_and(|(_, texts)| texts.is_err()));
            assert!(!poller.is_polling());
        }
    }
}
