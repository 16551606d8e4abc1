//! Lengths of time.

use std::time::Duration;

use crate::{Wrong, split};

/// What [`time`] reads, as a regular expression.
pub const TIME_PATTERN: &str = r"^[0-9]+ *(ms|s|m|h|d)$";

const KNOWN: &str = "ms, s, m, h or d";

/// Reads a length of time: `500ms`, `90s`, `5m`, `2h`, `30d`.
///
/// # Errors
///
/// Another form, a missing or unknown unit, or more than can be counted. A number alone is an error: each program had
/// another unit in mind.
pub fn time(text: &str) -> Result<Duration, Wrong> {
    let (number, unit) = split(text);
    if number.is_empty() || number.contains('.') {
        return Err(Wrong::Form("90s"));
    }
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(Wrong::NoUnit(KNOWN)),
        unit => {
            return Err(Wrong::Unit {
                unit: unit.to_owned(),
                known: KNOWN,
            });
        }
    };
    let number: u64 = number.parse().map_err(|_| Wrong::TooMuch)?;
    let millis = number.checked_mul(millis).ok_or(Wrong::TooMuch)?;
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("90s", 90),
            ("5 m", 300),
            ("2h", 7200),
            ("2d", 172_800),
            ("3000ms", 3),
        ] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(time("15"), Err(Wrong::NoUnit(KNOWN)));
        for wrong in [
            "",
            "s",
            "-1s",
            "1.5h",
            "1y",
            "5 min",
            "1h30m",
            "1S",
            "99999999999999999999s",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,24}", number in 0u64..1_000_000_000) {
            let _ = time(&text);
            prop_assert_eq!(time(&format!("{number}ms")), Ok(Duration::from_millis(number)));
        }
    }
}
