//! Estimates how long an upgrade will take.

use std::time::Duration;

/// Writing a byte to a card takes about as long as reading this many.
const WRITE_COST: f64 = 3.0;

/// What was measured so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Speeds {
    /// Bytes per second that were transferred.
    pub line: f64,
    /// Bytes per second that were read from the slot and hashed.
    pub slot: f64,
}

impl Speeds {
    /// Computes a speed from bytes and their duration; zero when it is not meaningful.
    pub fn of(bytes: u64, time: Duration) -> f64 {
        if time.is_zero() {
            0.0
        } else {
            bytes as f64 / time.as_secs_f64()
        }
    }
}

/// The remaining work, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// To fetch.
    pub fetch: u64,
    /// To write.
    pub write: u64,
    /// To read back.
    pub verify: u64,
}

/// Returns the remaining time; none when a relevant speed is unknown.
pub(super) fn time(left: Left, speeds: Speeds) -> Option<Duration> {
    let part = |bytes: u64, speed: f64| match bytes {
        0 => Some(0.0),
        bytes => (speed > 0.0).then(|| bytes as f64 / speed),
    };
    let seconds = part(left.fetch, speeds.line)?
        + part(left.write, speeds.slot / WRITE_COST)?
        + part(left.verify, speeds.slot)?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_speeds_are_not_guessed() {
        let speeds = Speeds {
            line: 1000.0,
            slot: 6000.0,
        };
        let left = Left {
            fetch: 5000,
            write: 4000,
            verify: 12_000,
        };
        assert_eq!(time(left, speeds), Some(Duration::from_secs(5 + 2 + 2)));
        assert_eq!(time(left, Speeds { line: 0.0, ..speeds }), None);
        assert_eq!(
            time(Left { fetch: 0, ..left }, Speeds { line: 0.0, ..speeds }),
            Some(Duration::from_secs(4))
        );
        assert_eq!(time(Left::default(), Speeds::default()), Some(Duration::ZERO));
        assert_eq!(Speeds::of(100, Duration::ZERO), 0.0);
    }
}
