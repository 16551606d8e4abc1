//! A rate limit.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The burst that is allowed before it slows down, in time at the limit.
const BURST: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Limits bytes per second by blocking.
pub(super) struct Throttle {
    rate: Option<NonZeroU64>,
    stop: Arc<AtomicBool>,
    /// When everything so far would have arrived at the limit.
    due: Option<Instant>,
}

impl Throttle {
    /// Makes a limit; none means no limit.
    pub fn new(rate: Option<NonZeroU64>, stop: Arc<AtomicBool>) -> Self {
        Throttle {
            rate,
            stop,
            due: None,
        }
    }

    /// Counts bytes, and blocks as long as they should have taken; not after a cancellation.
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

    /// Returns true after a cancellation.
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let time = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        // Idle time is not saved up.
        let due = self.due.map_or(now, |due| due.max(now)) + time;
        self.due = Some(due);
        due.saturating_duration_since(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_kept_after_the_first_second() {
        let mut throttle = Throttle::new(NonZeroU64::new(1000), Arc::default());
        let start = Instant::now();
        assert_eq!(throttle.wait(1000, start), Duration::ZERO);
        assert_eq!(throttle.wait(500, start), Duration::from_millis(500));
        let later = start + Duration::from_secs(100);
        assert_eq!(
            throttle.wait(1000, later),
            Duration::ZERO,
            "the pause is not caught up"
        );
        assert_eq!(throttle.wait(2000, later), Duration::from_secs(2));
        assert_eq!(
            Throttle::new(None, Arc::default()).wait(u64::MAX, start),
            Duration::ZERO
        );
    }

    #[test]
    fn a_cancelled_throttle_does_not_block() {
        let stop = Arc::new(AtomicBool::new(true));
        let mut throttle = Throttle::new(NonZeroU64::new(1), stop);
        let start = Instant::now();
        throttle.took(1000);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
