//! Timestamps in a document.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A second since 1970, written `2026-11-23T08:00:00Z`. Each second has exactly one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(u64);

/// The error for a text that is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a timestamp; expected UTC, to the second, such as 2026-11-23T08:00:00Z")]
pub struct NotAMoment(String);

impl Moment {
    /// Makes a timestamp from seconds since 1970.
    pub const fn from_unix(seconds: u64) -> Self {
        Moment(seconds)
    }

    /// Returns the seconds since 1970.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// Returns the timestamp this many seconds later.
    #[must_use]
    pub const fn after(self, seconds: u64) -> Self {
        Moment(self.0.saturating_add(seconds))
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let wrong = || NotAMoment(text.chars().take(40).collect());
        let read = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
        let moment = u64::try_from(read.unix_timestamp()).map(Moment);
        // Other forms of the same second, and fractions of seconds, are refused.
        moment
            .ok()
            .filter(|moment| moment.to_string() == text)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|date| date.format(&Rfc3339).ok());
        match date {
            Some(date) => f.write_str(&date),
            // After the year 9999.
            None => write!(f, "{} s after 1970", self.0),
        }
    }
}

impl TryFrom<String> for Moment {
    type Error = NotAMoment;

    fn try_from(text: String) -> Result<Self, NotAMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_second_has_exactly_one_form() {
        let moment: Moment = "2026-11-23T08:00:00Z".parse().unwrap();
        assert_eq!(moment.unix(), 1_795_420_800);
        for wrong in [
            "",
            "2026-11-23",
            "2026-11-23T08:00:00",
            "2026-11-23t08:00:00z",
            "2026-11-23 08:00:00Z",
            "2026-11-23T08:00:00.5Z",
            "2026-11-23T08:00:00.000Z",
            "2026-11-23T09:00:00+01:00",
            "2026-11-23T08:00:00+00:00",
            "2026-02-30T08:00:00Z",
            "1969-12-31T23:59:59Z",
            "99999-01-01T00:00:00Z",
            "1795420800",
            "é",
        ] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
        assert!(!Moment(u64::MAX).to_string().is_empty());
    }

    proptest! {
        #[test]
        fn timestamps_round_trip(seconds in 0..253_402_300_800_u64) {
            let moment = Moment(seconds);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
