//! When the node polls.

use std::time::Duration;

use rollout::POSITIONS;

/// The time over which the first polls of a fleet are spread.
const SPREAD: Duration = Duration::from_secs(300);
/// A failed poll is repeated sooner, but no sooner than this.
const SOONEST: Duration = Duration::from_secs(60);

/// Returns the pause before the first poll. A hundred boards that start at the same time do not poll at the same time: each has
/// its own time, and keeps it.
pub(super) fn first(interval: Duration, place: u16) -> Duration {
    interval.min(SPREAD) * u32::from(place) / u32::from(POSITIONS)
}

/// Returns the pause after a poll.
pub(super) fn next(interval: Duration, failed: bool) -> Duration {
    match failed {
        false => interval,
        true => (interval / 10).max(SOONEST).min(interval),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn polls_are_spread_and_failures_repeated_sooner() {
        assert_eq!(first(60 * MINUTE, 0), Duration::ZERO);
        assert_eq!(first(60 * MINUTE, 5000), Duration::from_secs(150));
        assert_eq!(first(MINUTE, 5000), Duration::from_secs(30));
        assert_eq!(next(60 * MINUTE, false), 60 * MINUTE);
        assert_eq!(next(60 * MINUTE, true), 6 * MINUTE);
        assert_eq!(next(MINUTE, true), MINUTE);
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_interval(seconds in 60..=86_400_u64, place in 0..POSITIONS, failed: bool) {
            let interval = Duration::from_secs(seconds);
            prop_assert!(first(interval, place) < interval);
            let next = next(interval, failed);
            prop_assert!(next <= interval && next >= MINUTE);
        }
    }
}
