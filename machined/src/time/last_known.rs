//! The last time seen, for boards that forget it without power.
//!
//! The file holds seconds since 1970 and a line end: a person can read and correct it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sys::clock::Clock;

use super::status::TimeFrom;

/// Where the time is saved, in STATE.
pub const SAVED: &str = "/var/lib/bedplate/clock";
/// A saved time this long after the image was built is a damaged file, not a time: no image lives that long.
const OLDEST_IMAGE: Duration = Duration::from_secs(40 * 365 * 86_400);

/// Tells what the clock was lifted to, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Where the time comes from now.
    pub source: TimeFrom,
    /// No answer of a server may be before this: the image's own age.
    pub floor: SystemTime,
}

/// Lifts the clock to the last time seen and the image's age, whichever is later. Never lowers it.
///
/// Runs before anything looks at the time. A clock that cannot be set is told in the log: the node runs on.
pub fn restore(clock: &dyn Clock, saved: &Path, built: SystemTime) -> Restored {
    let last = read(saved);
    let (source, lift) = decide(clock.now(), last, built);
    if let Some(to) = lift {
        match clock.set(to) {
            Ok(()) => tracing::info!("the clock starts from {:?} time", source),
            Err(error) => tracing::error!("{}", crate::controller::chain(&error)),
        }
    }
    Restored { source, floor: built }
}

/// Decides where the time comes from, and what the clock is to be set to. Pure.
fn decide(now: SystemTime, saved: Option<SystemTime>, built: SystemTime) -> (TimeFrom, Option<SystemTime>) {
    let saved = saved.filter(|saved| *saved <= built + OLDEST_IMAGE);
    match saved {
        Some(saved) if saved > now && saved >= built => (TimeFrom::Saved, Some(saved)),
        _ if built > now => (TimeFrom::Build, Some(built)),
        // Without a clock in the machine the kernel starts in 1970: a later time was read from somewhere.
        _ if now > UNIX_EPOCH + Duration::from_secs(86_400) => (TimeFrom::Rtc, None),
        _ => (TimeFrom::None, None),
    }
}

fn read(path: &Path) -> Option<SystemTime> {
    let text = fs::read_to_string(path).ok()?;
    let time = parse(&text);
    if time.is_none() {
        tracing::warn!("{} holds no time; it will be written anew", path.display());
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

/// Says which file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot save the time in {}", path.display())]
pub struct SaveError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Saves the present time: hourly, and when the node stops. After a power cut the file is the old one or the new one.
pub fn save(clock: &dyn Clock, path: &Path) -> Result<(), SaveError> {
    let seconds = clock
        .now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = File::create(&fresh)?;
        writeln!(file, "{seconds}")?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|source| SaveError {
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

    #[test]
    fn the_latest_of_three_wins() {
        let built = 1_700_000_000;
        let table = [
            (5, None, (TimeFrom::Build, Some(built))),
            (5, Some(built + 100), (TimeFrom::Saved, Some(built + 100))),
            (5, Some(built - 100), (TimeFrom::Build, Some(built))),
            (built + 50, None, (TimeFrom::Rtc, None)),
            (
                built + 50,
                Some(built + 100),
                (TimeFrom::Saved, Some(built + 100)),
            ),
            (built + 500, Some(built + 100), (TimeFrom::Rtc, None)),
            (
                5,
                Some(built + 100 * 365 * 86_400),
                (TimeFrom::Build, Some(built)),
            ),
        ];
        for (now, saved, (source, lift)) in table {
            assert_eq!(
                decide(at(now), saved.map(at), at(built)),
                (source, lift.map(at)),
                "{now} {saved:?}"
            );
        }
        assert_eq!(decide(at(5), None, at(0)), (TimeFrom::None, None));
    }

    #[test]
    fn what_was_saved_comes_back() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("clock");
        save(&RecordingClock::at(at(1_800_000_000)), &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1800000000\n");
        let clock = RecordingClock::at(at(3));
        assert_eq!(restore(&clock, &path, at(1_700_000_000)).source, TimeFrom::Saved);
        assert_eq!(clock.now(), at(1_800_000_000));
        fs::write(&path, "tomorrow").unwrap();
        let clock = RecordingClock::at(at(3));
        assert_eq!(restore(&clock, &path, at(1_700_000_000)).source, TimeFrom::Build);
        assert_eq!(clock.now(), at(1_700_000_000));
    }

    proptest! {
        #[test]
        fn the_clock_is_never_lowered(now in any::<u32>(), saved in proptest::option::of(any::<u64>()), built in any::<u32>()) {
            let (now, built) = (at(now.into()), at(built.into()));
            let saved = saved.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
            let (_, lift) = decide(now, saved, built);
            let after = lift.unwrap_or(now);
            prop_assert!(after >= now && after >= built);
        }

        #[test]
        fn any_file_is_read(text in any::<String>(), seconds in any::<u32>()) {
            let _ = parse(&text);
            prop_assert_eq!(parse(&format!("{seconds}\n")), Some(at(seconds.into())));
        }
    }
}
