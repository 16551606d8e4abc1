//! How fast this machine is, measured once, so that a limit means the same on a slow or busy one.
//!
//! Limits are written for a machine that is as fast as [`REFERENCE`]. A slower one gets more time, in proportion; a faster
//! one gets no less: a limit is never tightened.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How long [`PORTION`] takes where limits are taken as they are written: on two idle cores that serve four at a time.
const REFERENCE: Duration = Duration::from_millis(1400);
/// Steps of work that each place does to be measured.
const PORTION: u64 = 30_000_000;
/// A machine that is slower than this is measured wrong, or of no use.
const MOST: u32 = 2000;

/// The percentage that limits are stretched to in this process.
static PERCENT: AtomicU32 = AtomicU32::new(100);

/// Stretches a limit to what it means on this machine.
pub fn stretch(limit: Duration) -> Duration {
    limit * PERCENT.load(Ordering::Relaxed) / 100
}

/// Sets what limits are stretched to: 100 leaves them as they are.
pub fn set(percent: u32) -> Result<()> {
    ensure!(
        (100..=MOST).contains(&percent),
        "limits can be stretched to 100 to {MOST} percent, not to {percent}"
    );
    PERCENT.store(percent, Ordering::Relaxed);
    Ok(())
}

/// Returns the percentage that limits are stretched to.
pub fn percent() -> u32 {
    PERCENT.load(Ordering::Relaxed)
}

/// Measures how fast this machine is while it does so many things at a time, and returns what limits must be stretched to.
pub fn measure(at_a_time: usize) -> u32 {
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(work);
        }
    });
    percent_of(start.elapsed())
}

/// Computes what no compiler can foresee: the time it takes is the processor's.
fn work() {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..PORTION {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}

fn percent_of(taken: Duration) -> u32 {
    let percent = taken.as_millis() * 100 / REFERENCE.as_millis();
    u32::try_from(percent).unwrap_or(MOST).clamp(100, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_gets_more_time_and_a_fast_one_no_less() {
        assert_eq!(percent_of(REFERENCE * 3), 300);
        assert_eq!(percent_of(REFERENCE / 2), 100);
        assert_eq!(percent_of(REFERENCE * 10_000), MOST);
    }

    #[test]
    fn what_was_measured_can_be_set() {
        assert!((100..=MOST).contains(&measure(1)));
        assert!(set(99).is_err() && set(MOST + 1).is_err());
    }
}
