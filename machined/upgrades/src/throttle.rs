//! A limit on the speed.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How much may come at once before it is slowed down, in time of the limit.
const BURST: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Keeps to a number of bytes a second by taking its time.
pub(super) struct Throttle {
    rate: Option<NonZeroU64>,
    stop: Arc<AtomicBool>,
    /// When everything that came so far would have come at the limit.
    due: Option<Instant>,
}

impl Throttle {
    /// Makes a limit; none lets all pass.
    pub fn new(rate: Option<NonZeroU64>, stop: Arc<AtomicBool>) -> Self {
        Throttle {
            rate,
            stop,
            due: None,
        }
    }

    /// Takes note of bytes that came, and waits as long as they should have taken; not once everything is called off.
    pub fn took(&mut self, bytes: u64) {
        let wait = self.wait(bytes, Instant::now());
        let until = Instant::now() + wait;
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            if self.is_cancelled() {
                return;
            }
            std::thread::sleep(left.min(POLL_EVERY));
        }
    }

    /// Returns true if everything is called off.
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let time = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        // Time in which nothing came is not saved up.
        let due = self.due.map_or(now, |due| due.max(now)) + time;
        self.due = Some(due);
        due.saturating_duration_since(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_to_the_limit_after_the_first_second() {
        let mut throttle = Throttle::new(NonZeroU64::new(1000), Arc::default());
        let start = Instant::now();
        assert_eq!(throttle.wait(1000, start), Duration::ZERO);
        assert_eq!(throttle.wait(500, start), Duration::from_millis(500));
        let later = start + Duration::from_secs(100);
        assert_eq!(
            throttle.wait(1000, later),
            Duration::ZERO,
            "the pause is not made up for"
        );
        assert_eq!(throttle.wait(2000, later), Duration::from_secs(2));
        assert_eq!(
            Throttle::new(None, Arc::default()).wait(u64::MAX, start),
            Duration::ZERO
        );
    }

    #[test]
    fn does_not_wait_once_it_is_called_off() {
        let stop = Arc::new(AtomicBool::new(true));
        let mut throttle = Throttle::new(NonZeroU64::new(1), stop);
        let start = Instant::now();
        throttle.took(1000);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
