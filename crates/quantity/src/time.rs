//! Lengths of time.

use std::time::Duration;

use crate::{Wrong, split};

/// The regular expression of what [`time`] accepts.
pub const TIME_PATTERN: &str = r"^[0-9]+ *(ms|s|m|h|d)( *[0-9]+ *(ms|s|m|h|d))*$";

const KNOWN: &str = "ms, s, m, h or d";
/// The units with their length in milliseconds, the longest first.
const UNITS: [(u64, &str); 5] = [
    (86_400_000, "d"),
    (3_600_000, "h"),
    (60_000, "m"),
    (1000, "s"),
    (1, "ms"),
];

/// Parses a length of time: `500ms`, `90s`, `5m`, `2h`, `30d`, or a sum: `1h30m`, `3m 5s`.
///
/// # Errors
///
/// Fails on another form, a missing or unknown unit, or an overflow. A number alone is an error: programs used to assume
/// different units.
pub fn time(text: &str) -> Result<Duration, Wrong> {
    let (mut millis, mut left) = part(text)?;
    while !left.is_empty() {
        let (more, rest) = part(left)?;
        millis = millis.checked_add(more).ok_or(Wrong::TooMuch)?;
        left = rest;
    }
    Ok(Duration::from_millis(millis))
}

/// Parses one number with its unit from the front, in milliseconds; also returns what follows.
fn part(text: &str) -> Result<(u64, &str), Wrong> {
    let (number, behind) = split(text);
    if number.is_empty() || number.contains('.') {
        return Err(Wrong::Form("90s"));
    }
    let end = behind.find(|c: char| c.is_ascii_digit());
    let (unit, rest) = behind.split_at(end.unwrap_or(behind.len()));
    // Spaces are allowed before another number, and not at the end.
    let name = if rest.is_empty() {
        unit
    } else {
        unit.trim_end_matches(' ')
    };
    if name.is_empty() {
        return Err(Wrong::NoUnit(KNOWN));
    }
    let (factor, _) = UNITS
        .iter()
        .find(|(_, known)| *known == name)
        .ok_or_else(|| Wrong::Unit {
            unit: name.to_owned(),
            known: KNOWN,
        })?;
    let number: u64 = number.parse().map_err(|_| Wrong::TooMuch)?;
    Ok((number.checked_mul(*factor).ok_or(Wrong::TooMuch)?, rest))
}

/// Formats a length of time with the longest unit that divides it: [`time`] parses the same back, to the millisecond.
pub fn show_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit = UNITS
        .iter()
        .find(|(length, _)| millis > 0 && millis.is_multiple_of(*length));
    unit.map_or_else(
        || "0s".to_owned(),
        |(length, unit)| format!("{}{unit}", millis / length),
    )
}

/// Formats a length of time for people, in its two longest units: `850ms`, `12s`, `3m 5s`, `4d 2h`.
///
/// Smaller units are dropped. [`time`] parses the result to a time that is formatted the same.
pub fn human_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let Some(longest) = UNITS.iter().position(|(length, _)| millis >= *length) else {
        return "0ms".to_owned();
    };
    let (length, unit) = UNITS[longest];
    let first = format!("{}{unit}", millis / length);
    match UNITS.get(longest + 1) {
        Some((next, unit)) if *next >= 1000 && millis % length >= *next => {
            format!("{first} {}{unit}", millis % length / next)
        }
        _ => first,
    }
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
            ("1h30m", 5400),
            ("3m 5s", 185),
            ("1 d 2 h", 93_600),
            ("0s", 0),
            ("0s 5s", 5),
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
            "1h30",
            "1h ",
            " 1h",
            "1h,30m",
            "1S",
            "99999999999999999d1s",
            "18446744073709551615ms1ms",
            "99999999999999999999s",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn human_time_has_the_two_longest_units() {
        for (millis, shown) in [
            (0, "0ms"),
            (850, "850ms"),
            (12_900, "12s"),
            (185_000, "3m 5s"),
            (7_200_000, "2h"),
            (352_800_000, "4d 2h"),
        ] {
            assert_eq!(human_time(Duration::from_millis(millis)), shown);
        }
        for (millis, shown) in [
            (0, "0s"),
            (90_000, "90s"),
            (5_400_000, "90m"),
            (172_800_000, "2d"),
            (1500, "1500ms"),
        ] {
            assert_eq!(show_time(Duration::from_millis(millis)), shown);
        }
    }

    proptest! {
        #[test]
        fn times_round_trip(millis: u64, shift in 0u32..64) {
            let length = Duration::from_millis(millis >> shift);
            prop_assert_eq!(time(&show_time(length)), Ok(length));
            let shown = human_time(length);
            prop_assert_eq!(human_time(time(&shown).unwrap()), shown);
        }

        #[test]
        fn no_input_panics(text in "\\PC{0,24}", number in 0u64..1_000_000_000) {
            let _ = time(&text);
            prop_assert_eq!(time(&format!("{number}ms")), Ok(Duration::from_millis(number)));
        }
    }
}
