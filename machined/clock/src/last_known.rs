//! The last time seen, for boards that forget it without power.
//!
//! The file holds seconds since 1970 and a line end: a person can read and correct it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use state::kinds::TimeFrom;
use sys::clock::Clock;

use super::bounds::Bounds;

/// Where the time is saved, in STATE.
pub const SAVED: &str = "/var/lib/bedplate/clock";

/// What the clock was set to, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Where the time comes from now.
    pub source: TimeFrom,
    /// Where the clock may go, by the image's own age.
    pub bounds: Bounds,
    /// The latest moment that has certainly passed: never one that only a clock in the machine tells.
    pub passed: SystemTime,
    /// How long the kernel had run then.
    pub at: Duration,
}

impl Restored {
    /// Returns the latest moment that has certainly passed when the kernel has run for so long.
    pub fn passed(&self, since_boot: Duration) -> SystemTime {
        self.passed + since_boot.saturating_sub(self.at)
    }
}

/// Lifts the clock to the last time seen and the image's age, whichever is later, and lowers one that cannot be right.
///
/// Runs before anything looks at the time. A clock that cannot be set is told in the log: the node runs on.
pub fn restore(clock: &dyn Clock, saved: &Path, built: SystemTime) -> Restored {
    let bounds = Bounds::of_image(built);
    let now = clock.now();
    let decision = decide(now, read(saved), bounds);
    if let Some(to) = decision.set {
        if now > bounds.latest {
            tracing::warn!("the machine's clock is decades ahead of its image, and is not believed");
        }
        match clock.set(to) {
            Ok(()) => tracing::info!("the clock starts from {:?} time", decision.source),
            Err(error) => tracing::error!("{}", state::chain(&error)),
        }
    }
    Restored {
        source: decision.source,
        bounds,
        passed: decision.passed,
        at: clock.since_boot(),
    }
}

/// What the clock starts from.
#[derive(Debug, PartialEq, Eq)]
struct Decision {
    source: TimeFrom,
    /// What the clock is to be set to.
    set: Option<SystemTime>,
    passed: SystemTime,
}

/// Decides where the time comes from. Pure.
fn decide(now: SystemTime, saved: Option<SystemTime>, bounds: Bounds) -> Decision {
    // One that is out of bounds is a damaged file, not a time.
    let saved = saved.filter(|saved| bounds.contain(*saved));
    let passed = saved.unwrap_or(bounds.earliest);
    if now < passed || now > bounds.latest {
        let source = match saved {
            Some(saved) if saved > bounds.earliest => TimeFrom::Saved,
            _ => TimeFrom::Build,
        };
        return Decision {
            source,
            set: Some(passed),
            passed,
        };
    }
    // Without a clock in the machine the kernel starts in 1970: a later time was read from somewhere.
    let source = if now > UNIX_EPOCH + Duration::from_secs(86_400) {
        TimeFrom::Rtc
    } else {
        TimeFrom::None
    };
    Decision {
        source,
        set: None,
        passed,
    }
}

fn read(path: &Path) -> Option<SystemTime> {
    let text = fs::read_to_string(path).ok()?;
    let time = parse(&text);
    if time.is_none() {
        tracing::warn!("{} holds no time; it will be written again", path.display());
    }
    time
}

fn parse(text: &str) -> Option<SystemTime> {
    let digits = text.trim_end();
    let seconds: u64 = digits
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Which file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot save the time in {}", path.display())]
pub struct SaveError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Saves a time that has certainly passed. After a power cut the file is the old one or the new one.
pub fn save(time: SystemTime, path: &Path) -> Result<(), SaveError> {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let written = sys::durable::write(path, format!("{seconds}\n").as_bytes(), 0o644);
    written.map_err(|source| SaveError {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sys::clock::RecordingClock;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const BUILT: u64 = 1_700_000_000;
    const DECADES: u64 = 41 * 365 * 86_400;

    #[test]
    fn the_latest_of_three_wins_unless_it_cannot_be_true() {
        // What the machine's clock says, what was saved, where the time comes from, and what the clock is set to.
        let table = [
            (5, None, TimeFrom::Build, Some(BUILT)),
            (5, Some(BUILT + 100), TimeFrom::Saved, Some(BUILT + 100)),
            (5, Some(BUILT - 100), TimeFrom::Build, Some(BUILT)),
            (5, Some(BUILT + DECADES), TimeFrom::Build, Some(BUILT)),
            (BUILT + 50, None, TimeFrom::Rtc, None),
            (BUILT + 50, Some(BUILT + 100), TimeFrom::Saved, Some(BUILT + 100)),
            (BUILT + 500, Some(BUILT + 100), TimeFrom::Rtc, None),
            (BUILT + DECADES, None, TimeFrom::Build, Some(BUILT)),
            (
                BUILT + DECADES,
                Some(BUILT + 100),
                TimeFrom::Saved,
                Some(BUILT + 100),
            ),
        ];
        for (now, saved, source, set) in table {
            let passed = saved.filter(|saved| (BUILT..BUILT + DECADES).contains(saved));
            let expected = Decision {
                source,
                set: set.map(at),
                passed: at(passed.unwrap_or(BUILT)),
            };
            let found = decide(at(now), saved.map(at), Bounds::of_image(at(BUILT)));
            assert_eq!(found, expected, "{now} {saved:?}");
        }
        let unknown = Bounds::of_image(UNIX_EPOCH);
        assert_eq!(decide(at(5), None, unknown).source, TimeFrom::None);
        assert_eq!(decide(at(BUILT), None, unknown).source, TimeFrom::Rtc);
    }

    #[test]
    fn a_clock_in_2099_is_not_believed_and_time_passes_all_the_same() {
        let dir = tempfile::TempDir::new().unwrap();
        let clock = RecordingClock::at(at(4_080_000_000));
        let restored = restore(&clock, &dir.path().join("clock"), at(BUILT));
        assert_eq!((clock.now(), restored.source), (at(BUILT), TimeFrom::Build));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(restored.passed(clock.since_boot()), at(BUILT + 3600));
    }

    #[test]
    fn a_clock_that_is_ahead_by_years_shows_but_dates_nothing() {
        let dir = tempfile::TempDir::new().unwrap();
        let clock = RecordingClock::at(at(BUILT + 5 * 365 * 86_400));
        let restored = restore(&clock, &dir.path().join("clock"), at(BUILT));
        assert_eq!(restored.source, TimeFrom::Rtc);
        assert_eq!(restored.passed(clock.since_boot()), at(BUILT));
    }

    #[test]
    fn what_was_saved_comes_back() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("clock");
        save(at(1_800_000_000), &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1800000000\n");
        let clock = RecordingClock::at(at(3));
        assert_eq!(restore(&clock, &path, at(BUILT)).source, TimeFrom::Saved);
        assert_eq!(clock.now(), at(1_800_000_000));
        fs::write(&path, "tomorrow").unwrap();
        let clock = RecordingClock::at(at(3));
        assert_eq!(restore(&clock, &path, at(BUILT)).source, TimeFrom::Build);
        assert_eq!(clock.now(), at(BUILT));
    }

    proptest! {
        #[test]
        fn the_clock_starts_within_its_bounds(now in any::<u64>(), saved in proptest::option::of(any::<u64>()), built in any::<u32>()) {
            let (now, bounds) = (UNIX_EPOCH.checked_add(Duration::from_secs(now)), Bounds::of_image(at(built.into())));
            let saved = saved.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
            let Some(now) = now else { return Ok(()) };
            let decision = decide(now, saved, bounds);
            let after = decision.set.unwrap_or(now);
            prop_assert!(bounds.contain(after) && bounds.contain(decision.passed) && decision.passed <= after);
            prop_assert!(decision.set.is_none_or(|set| set > now || now > bounds.latest), "lowered only when it cannot be true");
        }

        #[test]
        fn any_file_is_read(text in any::<String>(), seconds in any::<u32>()) {
            let _ = parse(&text);
            prop_assert_eq!(parse(&format!("{seconds}\n")), Some(at(seconds.into())));
        }
    }
}
