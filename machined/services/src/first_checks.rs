//! How often a service is checked that is not healthy yet.

use std::time::Duration;

/// How soon one is checked that has just been started: the boot waits for it.
const SOONEST: Duration = Duration::from_millis(250);
/// It is checked again after this part of the time that it has run: it is found healthy hardly later, and one that takes minutes, on
/// a slow board, is not kept from its work by questions.
const PART: u32 = 8;

/// Returns how long to wait before a service is checked that has run for so long. `interval` is its time between checks later on.
pub fn pause(runs_for: Duration, interval: Duration) -> Duration {
    (runs_for / PART).max(SOONEST).min(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_takes_long_is_checked_less_often() {
        let table = [
            (0, 250),
            (1_000, 250),
            (8_000, 1_000),
            (60_000, 7_500),
            (600_000, 10_000),
        ];
        for (runs_for, expected) in table {
            let found = pause(Duration::from_millis(runs_for), Duration::from_secs(10));
            assert_eq!(found, Duration::from_millis(expected), "after {runs_for} ms");
        }
        let often = Duration::from_millis(100);
        assert_eq!(pause(Duration::from_secs(60), often), often);
    }
}
