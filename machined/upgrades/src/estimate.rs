//! How long an upgrade will take, as far as that can be told.

use std::time::Duration;

/// To a card a byte written costs about as much as this many read.
const WRITE_COST: f64 = 3.0;

/// What was measured so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Speeds {
    /// Bytes a second that came over the line.
    pub line: f64,
    /// Bytes a second that were read from the slot and hashed.
    pub slot: f64,
}

impl Speeds {
    /// Makes a speed out of bytes and the time they took; zero when that tells nothing.
    pub fn of(bytes: u64, time: Duration) -> f64 {
        if time.is_zero() {
            0.0
        } else {
            bytes as f64 / time.as_secs_f64()
        }
    }
}

/// What is still to be done, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// To fetch.
    pub fetch: u64,
    /// To write.
    pub write: u64,
    /// To read back.
    pub verify: u64,
}

/// Returns the time that is left; none when a speed is not known that counts.
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
    fn what_is_not_known_is_not_guessed() {
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
