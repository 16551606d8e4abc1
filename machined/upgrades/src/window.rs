//! When a maintenance window is open.

use std::time::Duration;

use machine_config::v1alpha1::{Day, Window};

const DAY: u64 = 24 * 3600;

/// The state of a window at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It is open until then, in seconds since 1970.
    Until(u64),
    /// It opens then, in seconds since 1970.
    At(u64),
}

/// Returns the state of a window, given the seconds since 1970. Pure; the caller checks the clock.
pub fn look(window: &Window, now: u64) -> Opening {
    let duration = Duration::from(window.duration).as_secs();
    let today = now / DAY;
    let opens = |day: u64| day * DAY + u64::from(window.start.minutes()) * 60;
    let days = today.saturating_sub(1)..=today + 7;
    let open = days
        .filter(|day| opens_on(window, *day))
        .map(opens)
        // One that opened yesterday may still be open.
        .find(|start| start + duration > now);
    match open {
        Some(start) if start <= now => Opening::Until(start + duration),
        Some(start) => Opening::At(start),
        // Eight days contain each day of the week.
        None => Opening::At(now + DAY),
    }
}

/// Returns true if a window opens on a day, counted from 1970-01-01, a Thursday.
fn opens_on(window: &Window, day: u64) -> bool {
    let weekday = Day::ALL[(day as usize + 3) % 7].1;
    window.days.is_empty() || window.days.contains(&weekday)
}

#[cfg(test)]
mod tests {
    use machine_config::value::Period;
    use proptest::prelude::*;

    use super::*;

    fn window(days: &[Day], start: &str, seconds: u32) -> Window {
        Window {
            days: days.to_vec(),
            start: start.parse().unwrap(),
            duration: Period::seconds(seconds),
        }
    }

    /// 2026-11-02, a Monday, 00:00 UTC.
    const MONDAY: u64 = 1_793_577_600;

    #[test]
    fn opens_and_closes_to_the_second() {
        let daily = window(&[], "02:30", 3600);
        let start = MONDAY + 9000;
        assert_eq!(look(&daily, start - 1), Opening::At(start));
        assert_eq!(look(&daily, start), Opening::Until(start + 3600));
        assert_eq!(look(&daily, start + 3599), Opening::Until(start + 3600));
        assert_eq!(look(&daily, start + 3600), Opening::At(start + DAY));
    }

    #[test]
    fn waits_for_its_days() {
        let weekend = window(&[Day::Sat, Day::Sun], "23:00", 7200);
        let saturday = MONDAY + 5 * DAY + 23 * 3600;
        assert_eq!(look(&weekend, MONDAY + 3600), Opening::At(saturday));
        let past_midnight = saturday + DAY + 5400;
        assert_eq!(
            look(&weekend, past_midnight),
            Opening::Until(saturday + DAY + 7200),
            "Sunday's window reaches into Monday"
        );
        assert_eq!(
            look(&weekend, saturday + DAY + 7200),
            Opening::At(saturday + 7 * DAY)
        );
    }

    proptest! {
        #[test]
        fn it_opens_within_a_week_on_a_listed_day(
            now in 0u64..4_000_000_000, days in proptest::sample::subsequence(Day::ALL.to_vec(), 0..=7),
            minutes in 0u32..1440, seconds in 60u32..=86_400,
        ) {
            let days: Vec<Day> = days.into_iter().map(|(_, day)| day).collect();
            let window = window(&days, &format!("{:02}:{:02}", minutes / 60, minutes % 60), seconds);
            match look(&window, now) {
                Opening::Until(end) => prop_assert!(end > now && end - now <= u64::from(seconds)),
                Opening::At(start) => {
                    prop_assert!(start > now && start - now <= 7 * DAY + DAY);
                    prop_assert_eq!(look(&window, start), Opening::Until(start + u64::from(seconds)));
                    // Until then it stays shut.
                    let between = now + (start - now) / 2;
                    prop_assert!(between >= start || look(&window, between) == Opening::At(start));
                }
            }
        }
    }
}
