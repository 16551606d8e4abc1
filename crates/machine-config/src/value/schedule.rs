//! Times of day, and rates.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::NotA;

/// A minute of a day, written `02:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Returns the minutes since midnight: 0 to 1439.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong = NotA("a time of day; expected HH:MM from 00:00 to 23:59");
        let number = |text: &str, most: u16| {
            let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>()
                .ok()
                .filter(|number| digits && *number <= most)
        };
        let (hours, minutes) = text.split_once(':').ok_or(wrong.clone())?;
        match (number(hours, 23), number(minutes, 59)) {
            (Some(hours), Some(minutes)) => Ok(Self(hours * 60 + minutes)),
            _ => Err(wrong),
        }
    }
}

as_text!(
    TimeOfDay,
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
    "A time of day: HH:MM from 00:00 to 23:59."
);

/// A number of bytes per second, written `500k` or `2MB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRate(NonZeroU64);

impl ByteRate {
    /// Returns the bytes per second.
    pub const fn bytes(self) -> NonZeroU64 {
        self.0
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::show_rate(self.0))
    }
}

impl FromStr for ByteRate {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let wrong = NotA("a rate; expected a number and a unit of bytes per second, such as 500k or 2MB/s");
        quantity::rate(text).map(Self).map_err(|_| wrong)
    }
}

as_text!(
    ByteRate,
    quantity::RATE_PATTERN,
    "A rate: bytes per second with their unit, such as 500k, 2MB/s or 1.5MiB; a letter alone is a power of 1000."
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_in_thousands() {
        for (text, bytes, shown) in [
            ("500k", 500_000, "500k"),
            ("2M", 2_000_000, "2M"),
            ("3000k", 3_000_000, "3M"),
            ("2 MB/s", 2_000_000, "2M"),
            ("1.5KiB", 1536, "1536B"),
        ] {
            let rate: ByteRate = text.parse().unwrap();
            assert_eq!((rate.bytes().get(), rate.to_string().as_str()), (bytes, shown));
        }
        for wrong in ["", "k", "0k", "+5k", "5X", "99999999999999M", "5é", "5k/h"] {
            assert!(wrong.parse::<ByteRate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_exact() {
        assert_eq!("23:59".parse::<TimeOfDay>().unwrap().minutes(), 1439);
        for wrong in ["24:00", "2:30", "02:60", "0230", "+2:30", "02:30:00", "é2:00"] {
            assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn times_and_rates_round_trip(minute in 0u16..1440, thousands in 1u64..4_000_000_000) {
            let time = TimeOfDay(minute);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            let rate = ByteRate(NonZeroU64::new(thousands * 1000).unwrap());
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_input_panics(text in ".{0,8}") {
            let _ = (text.parse::<TimeOfDay>(), text.parse::<ByteRate>());
        }
    }
}
