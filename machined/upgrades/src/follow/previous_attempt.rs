//! The previous attempt to install a release, from the history.

use std::time::Duration;

use manifest::Digest;
use rollout::{Moment, PreviousAttempt};

use crate::history::{Entry, Outcome};

/// The longest pause between attempts to install a release.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Returns it. Pure. A release that could not be written is retried, after a pause that doubles from `interval` on; one that was tried or
/// cancelled is not.
pub(super) fn previous_attempt(
    entries: &[Entry],
    release: &Digest,
    interval: Duration,
    now: Option<Moment>,
) -> PreviousAttempt {
    let name = release.to_string();
    let ours: Vec<&Entry> = entries.iter().filter(|entry| entry.manifest == name).collect();
    if ours.first().is_some_and(|latest| latest.outcome.is_none()) {
        return PreviousAttempt::Underway;
    }
    if let Some(over) = ours.iter().find_map(|entry| over(entry)) {
        return PreviousAttempt::Over(over);
    }
    let Some(last) = ours.first() else {
        return PreviousAttempt::Never;
    };
    let doublings = u32::try_from(ours.len() - 1).unwrap_or(u32::MAX).min(20);
    let pause = interval.saturating_mul(1 << doublings).min(LONGEST).as_secs();
    let ended = Moment::from_unix(u64::try_from(last.ended_ms / 1000).unwrap_or(0));
    // If the clock was ahead, the start of the wait is unknown. It is retried at once: to wait from now on would be to
    // wait again at each poll, until the time of that clock has come.
    PreviousAttempt::Failed(match now.filter(|now| *now < ended) {
        Some(now) => now,
        None => ended.after(pause),
    })
}

/// Returns what keeps an upgrade from being retried, if its outcome does.
fn over(entry: &Entry) -> Option<String> {
    match entry.outcome? {
        Outcome::FellBack => Some(format!("it fell back: {}", entry.cause)),
        Outcome::Cancelled => Some("it was cancelled here".to_owned()),
        Outcome::Committed | Outcome::RolledBack => Some("it ran here, and was rolled back".to_owned()),
        Outcome::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Moment = Moment::from_unix(1_795_420_800);

    fn release() -> Digest {
        Digest([7; 32])
    }

    fn entry(outcome: Option<Outcome>) -> Entry {
        let mut entry = Entry {
            manifest: release().to_string(),
            ..Entry::default()
        };
        if let Some(outcome) = outcome {
            entry.end(outcome, "why", i64::try_from(NOW.unix()).unwrap() * 1000);
        }
        entry
    }

    #[test]
    fn the_history_decides() {
        use Outcome::{Cancelled, Committed, Failed, FellBack, RolledBack};
        let over = |text: &str| PreviousAttempt::Over(text.into());
        let after = |hours: u64| PreviousAttempt::Failed(NOW.after(hours * 3600));
        let cases: &[(&[Option<Outcome>], PreviousAttempt)] = &[
            (&[], PreviousAttempt::Never),
            (&[None], PreviousAttempt::Underway),
            (&[None, Some(FellBack)], PreviousAttempt::Underway),
            (&[Some(FellBack)], over("it fell back: why")),
            (&[Some(Failed), Some(FellBack)], over("it fell back: why")),
            (&[Some(Cancelled)], over("it was cancelled here")),
            (&[Some(Committed)], over("it ran here, and was rolled back")),
            (
                &[Some(RolledBack), Some(Committed)],
                over("it ran here, and was rolled back"),
            ),
            (&[Some(Failed)], after(1)),
            (&[Some(Failed); 2], after(2)),
            (&[Some(Failed); 4], after(8)),
            (&[Some(Failed); 32], after(24)),
        ];
        for (outcomes, expected) in cases {
            let mut entries: Vec<Entry> = outcomes.iter().map(|outcome| entry(*outcome)).collect();
            entries.insert(0, Entry::default());
            let found = previous_attempt(&entries, &release(), HOUR, Some(NOW));
            assert_eq!(found, *expected, "{outcomes:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_delay_a_retry_forever() {
        let entries = [entry(Some(Outcome::Failed))];
        for earlier in [1000, 2000, NOW.unix() - 1].map(Moment::from_unix) {
            let PreviousAttempt::Failed(again) = previous_attempt(&entries, &release(), HOUR, Some(earlier))
            else {
                panic!("nothing was tried");
            };
            assert!(again <= earlier, "{again} at {earlier}");
        }
        let unknown = previous_attempt(&entries, &release(), HOUR, None);
        assert_eq!(unknown, PreviousAttempt::Failed(NOW.after(3600)));
    }
}
