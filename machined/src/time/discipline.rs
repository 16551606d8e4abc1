//! Decides what to do with the answers of time servers. Pure.

use std::time::{Duration, SystemTime};

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The server's name, as it was asked.
    pub server: String,
    /// What the clock lacks, in microseconds.
    pub offset_micros: i64,
    /// How long the question and the answer took on their way together.
    pub delay: Duration,
}

/// What is done to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// It is moved without a jump, by this many microseconds.
    Slew(i64),
    /// It is set to this time.
    Step(SystemTime),
}

/// More than this is stepped: at the kernel's half a millisecond per second, a slew would take over four minutes.
const STEP_MICROS: i64 = 128_000;
/// An answer that took longer is too vague to set a clock by.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Chooses the answer to follow.
///
/// One whose time would be before `floor` is none: the image was built by then. Of three or more, one server alone
/// cannot pull the clock away: the middle one counts. Of two, the quicker.
pub(super) fn choose(mut samples: Vec<Sample>, now: SystemTime, floor: SystemTime) -> Option<Sample> {
    let credible =
        |sample: &Sample| sample.delay <= LONGEST_DELAY && shifted(now, sample.offset_micros) >= Some(floor);
    samples.retain(credible);
    match samples.len() {
        0 => None,
        1 | 2 => samples.into_iter().min_by_key(|sample| sample.delay),
        n => {
            samples.sort_by_key(|sample| sample.offset_micros);
            Some(samples.swap_remove(n / 2))
        }
    }
}

/// Decides how the clock gets to the right time.
pub(super) fn adjust(now: SystemTime, offset_micros: i64) -> Adjustment {
    match shifted(now, offset_micros) {
        Some(to) if offset_micros.abs() > STEP_MICROS => Adjustment::Step(to),
        _ => Adjustment::Slew(offset_micros.clamp(-STEP_MICROS, STEP_MICROS)),
    }
}

fn shifted(now: SystemTime, micros: i64) -> Option<SystemTime> {
    let by = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        now.checked_sub(by)
    } else {
        now.checked_add(by)
    }
}

/// Tells how long to wait before the servers are asked again.
///
/// `failures` counts the rounds without an answer, `successes` those with one since the last failure: a server that
/// does not answer is asked ever more rarely, and a clock that keeps time well needs to ask ever more rarely.
pub(super) fn pause(failures: u32, successes: u32) -> Duration {
    match (failures, successes) {
        (0, 0) => Duration::ZERO,
        // Two, four, eight … seconds, up to five minutes.
        (1.., _) => Duration::from_secs(1 << failures.min(9)).min(Duration::from_secs(300)),
        // About a minute at first, to see the drift, up to 17 minutes.
        (0, _) => Duration::from_secs(64 << (successes / 4).min(4)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn sample(server: &str, seconds: i64, delay_ms: u64) -> Sample {
        Sample {
            server: server.into(),
            offset_micros: seconds * 1_000_000,
            delay: Duration::from_millis(delay_ms),
        }
    }

    fn chosen(samples: &[Sample]) -> Option<String> {
        choose(samples.to_vec(), at(NOW), at(NOW - 100)).map(|sample| sample.server)
    }

    #[test]
    fn one_liar_among_three_is_outvoted() {
        let honest = [sample("a", 10, 5), sample("b", 11, 50)];
        assert_eq!(chosen(&honest).as_deref(), Some("a"), "of two, the quicker");
        let liar = sample("liar", 1_000_000, 1);
        assert_eq!(
            chosen(&[liar, honest[0].clone(), honest[1].clone()]).as_deref(),
            Some("b")
        );
    }

    #[test]
    fn answers_that_cannot_be_true_or_are_too_late_do_not_count() {
        assert_eq!(chosen(&[sample("old", -101, 5)]), None);
        assert_eq!(chosen(&[sample("older", i64::MIN / 1_000_000, 5)]), None);
        assert_eq!(chosen(&[sample("slow", 1, 2_001)]), None);
        assert_eq!(
            chosen(&[sample("fine", -99, 5)]).as_deref(),
            Some("fine"),
            "back, but not before the image"
        );
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_little_is_slewed_and_a_lot_is_stepped() {
        assert_eq!(adjust(at(NOW), 128_000), Adjustment::Slew(128_000));
        assert_eq!(adjust(at(NOW), -5), Adjustment::Slew(-5));
        assert_eq!(adjust(at(NOW), 2_000_000), Adjustment::Step(at(NOW + 2)));
        assert_eq!(adjust(at(NOW), -2_000_000), Adjustment::Step(at(NOW - 2)));
    }

    #[test]
    fn who_does_not_answer_is_asked_more_rarely() {
        let seconds: Vec<_> = [1, 2, 3, 8, 9, 100, u32::MAX]
            .map(|n| pause(n, 0).as_secs())
            .to_vec();
        assert_eq!(seconds, [2, 4, 8, 256, 300, 300, 300]);
        let seconds: Vec<_> = [1, 3, 4, 8, 16, u32::MAX].map(|n| pause(0, n).as_secs()).to_vec();
        assert_eq!(seconds, [64, 64, 128, 256, 1024, 1024]);
        assert_eq!(pause(0, 0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_answer_moves_the_clock_before_the_floor(offsets in proptest::collection::vec(any::<i64>(), 0..6), now in any::<u32>(), floor in any::<u32>()) {
            let (now, floor) = (at(now.into()), at(floor.into()));
            let samples = offsets.iter().map(|micros| Sample { server: String::new(), offset_micros: *micros, delay: Duration::ZERO });
            if let Some(sample) = choose(samples.collect(), now, floor)
                && let Adjustment::Step(to) = adjust(now, sample.offset_micros)
            {
                prop_assert!(to >= floor);
            }
        }
    }
}
