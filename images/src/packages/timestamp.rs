//! A timestamp, as archives that keep every version of a package write it into their addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::rfc3339;

/// A timestamp such as `20261123T030433Z`. Having one proves that it is safe in an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(String);

/// The error for a text that is not a timestamp.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a timestamp such as 20261123T030433Z")]
pub struct NotATimestamp(String);

impl Timestamp {
    /// Returns the timestamp of so many seconds after the beginning of 1970.
    pub fn at(seconds: u64) -> Timestamp {
        Timestamp(rfc3339(seconds).replace(['-', ':'], ""))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = NotATimestamp;

    fn try_from(text: String) -> Result<Timestamp, NotATimestamp> {
        let fits = |(at, byte): (usize, u8)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        };
        if text.len() == 16 && text.bytes().enumerate().all(fits) {
            Ok(Timestamp(text))
        } else {
            Err(NotATimestamp(text))
        }
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> String {
        timestamp.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_archives_do_and_nothing_else_is_one() {
        assert_eq!(Timestamp::at(1_795_403_073).to_string(), "20261123T030433Z");
        assert!(Timestamp::try_from("20261123T030433Z".to_owned()).is_ok());
        for text in [
            "",
            "20261123",
            "20261123T0304/.Z",
            "20261123T030433Z/..",
            "2026112３030433Z",
        ] {
            assert!(Timestamp::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
