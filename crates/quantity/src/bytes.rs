//! Bytes, and bytes per second.

use std::num::NonZeroU64;

use crate::{Wrong, split};

/// The regular expression of what [`bytes`] accepts.
pub const BYTES_PATTERN: &str = r"^[0-9]+(\.[0-9]{1,9})? *([KkMmGgTtPpEe][Ii]?)?[Bb]?$";
/// The regular expression of what [`rate`] accepts.
pub const RATE_PATTERN: &str = r"^[0-9]+(\.[0-9]{1,9})? *([KkMmGgTtPpEe][Ii]?)?[Bb]?(/s)?$";

const KNOWN: &str = "B, kB, MB, GB, TB, PB, EB (of 1000), KiB, MiB, GiB, TiB, PiB or EiB (of 1024)";

/// Parses a number of bytes: `512MiB`, `7800 MB`, `1.5GiB`, `4096`. Upper and lower case are equivalent.
///
/// A letter alone is a power of 1024, as in `dd` and `qemu-img`: `8G` is `8GiB`.
///
/// # Errors
///
/// Fails on another form, an unknown unit, or more than 2^64 bytes.
pub fn bytes(text: &str) -> Result<u64, Wrong> {
    amount(text, 1024, "512MiB")
}

/// Parses a number of bytes per second: `500kB/s`, `2M`, `1.5MiB`. The `/s` is optional.
///
/// A letter alone is a power of 1000, as in networking: `2M` is `2MB`.
///
/// # Errors
///
/// As for [`bytes`], and on a rate of zero.
pub fn rate(text: &str) -> Result<NonZeroU64, Wrong> {
    let bare = text.strip_suffix("/s").unwrap_or(text);
    NonZeroU64::new(amount(bare, 1000, "500kB/s")?).ok_or(Wrong::Nothing)
}

/// Formats a number of bytes with the largest binary unit that divides it: [`bytes`] parses the same number back.
pub fn show_bytes(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    show(bytes, &units)
}

/// Formats a number of bytes for people, in two or three digits: `512 B`, `1.5 KiB`, `12 GiB`.
///
/// It is rounded: where every byte matters, use [`show_bytes`]. [`bytes`] parses the result to a number that is formatted
/// the same.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    for (power, unit) in (1_u32..).zip(UNITS) {
        let factor = 1_u128 << (10 * power);
        let rounded = |parts: u128| (u128::from(bytes) * parts + factor / 2) / factor;
        match (rounded(10), rounded(1)) {
            (tenths @ ..1000, _) if tenths % 10 == 0 => return format!("{} {unit}", tenths / 10),
            (tenths @ ..1000, _) => return format!("{}.{} {unit}", tenths / 10, tenths % 10),
            (_, whole @ ..1024) => return format!("{whole} {unit}"),
            _ => {}
        }
    }
    unreachable!("2^64 bytes are 16 EiB")
}

/// Formats a rate with the largest decimal letter that divides it: [`rate`] parses the same number back.
pub fn show_rate(rate: NonZeroU64) -> String {
    show(rate.get(), &[(1_000_000, "M"), (1000, "k")])
}

fn show(number: u64, units: &[(u64, &str)]) -> String {
    let fits = |(factor, _): &&(u64, &str)| number >= *factor && number.is_multiple_of(*factor);
    match units.iter().find(fits) {
        Some((factor, unit)) => format!("{}{unit}", number / factor),
        None => format!("{number}B"),
    }
}

fn amount(text: &str, letter: u64, example: &'static str) -> Result<u64, Wrong> {
    let (number, unit) = split(text);
    let factor = factor(unit, letter).ok_or_else(|| Wrong::Unit {
        unit: unit.to_owned(),
        known: KNOWN,
    });
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return Err(Wrong::Form(example));
    }
    let factor = u128::from(factor?);
    let read = |text: &str| text.parse::<u128>().map_err(|_| Wrong::TooMuch);
    let scale = 10_u128.pow(u32::try_from(part.len()).map_err(|_| Wrong::TooMuch)?);
    let whole = read(whole)?.checked_mul(factor).ok_or(Wrong::TooMuch)?;
    // Fractions of a byte are dropped.
    let all = whole.checked_add(read(part)? * factor / scale);
    all.and_then(|all| u64::try_from(all).ok()).ok_or(Wrong::TooMuch)
}

/// Returns the number of bytes of a unit.
fn factor(unit: &str, letter: u64) -> Option<u64> {
    let unit = unit.to_ascii_uppercase();
    let bare = unit.strip_suffix('B').unwrap_or(&unit);
    let (name, base) = match bare.strip_suffix('I') {
        Some(name) => (name, 1024),
        None if bare.len() < unit.len() => (bare, 1000),
        None => (bare, letter),
    };
    let power = match name {
        "" if bare.is_empty() => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return None,
    };
    Some(base.pow(power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_the_same_everywhere() {
        for (text, size, speed) in [
            ("4096", 4096, 4096),
            ("7B", 7, 7),
            ("32KiB", 32 << 10, 32 << 10),
            ("512 MiB", 512 << 20, 512 << 20),
            ("512Mi", 512 << 20, 512 << 20),
            ("8gb", 8_000_000_000, 8_000_000_000),
            ("500kB", 500_000, 500_000),
            ("1.5MiB", 1_572_864, 1_572_864),
            ("0.5KiB", 512, 512),
            ("500k", 512_000, 500_000),
            ("2M", 2 << 20, 2_000_000),
            ("8G", 8 << 30, 8_000_000_000),
            ("1T", 1 << 40, 1_000_000_000_000),
            ("1.5PiB", 3 << 49, 3 << 49),
            ("2EB", 2_000_000_000_000_000_000, 2_000_000_000_000_000_000),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
            assert_eq!(rate(text).map(NonZeroU64::get), Ok(speed), "{text}");
            assert_eq!(
                rate(&format!("{text}/s")).map(NonZeroU64::get),
                Ok(speed),
                "{text}"
            );
        }
        assert_eq!((bytes("0"), rate("0.1B")), (Ok(0), Err(Wrong::Nothing)));
    }

    #[test]
    fn invalid_amounts_are_explained() {
        for (text, said) in [
            ("", "such as 512MiB"),
            ("MiB", "such as 512MiB"),
            ("-1MiB", "such as 512MiB"),
            (".5M", "such as 512MiB"),
            ("1.M", "such as 512MiB"),
            ("1..5M", "such as 512MiB"),
            ("1.0000000001M", "such as 512MiB"),
            ("8X", "\"X\" is not a unit"),
            ("8iB", "\"iB\" is not a unit"),
            ("8Gib8", "\"Gib8\" is not a unit"),
            ("8M ", "\"M \" is not a unit"),
            ("2MB/h", "\"MB/h\" is not a unit"),
            ("1ä", "\"ä\" is not a unit"),
            ("99999999T", "too much"),
            ("99999999999999999999999999999999999999999", "too much"),
        ] {
            let error = bytes(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn human_bytes_have_two_or_three_digits() {
        for (number, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (999 * 1024, "999 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (12 << 30, "12 GiB"),
            (31_914_983_424, "29.7 GiB"),
            (u64::MAX - (1 << 59), "15.5 EiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human_bytes(number), shown);
        }
    }

    proptest! {
        #[test]
        fn amounts_round_trip(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            let shown = human_bytes(number);
            match bytes(&shown) {
                Ok(read) => prop_assert_eq!(human_bytes(read), shown),
                // Only what rounds up to 2^64, which is one more than the maximum.
                wrong => prop_assert_eq!((wrong, shown.as_str()), (Err(Wrong::TooMuch), "16 EiB")),
            }
            prop_assert_eq!(bytes(&show_bytes(number)), Ok(number));
            prop_assert_eq!(bytes(&number.to_string()), Ok(number));
            if let Some(speed) = NonZeroU64::new(number) {
                prop_assert_eq!(rate(&show_rate(speed)), Ok(speed));
            }
        }

        #[test]
        fn no_input_panics(text in "([0-9.]{0,3}[ kKMGTiB/s]{0,4}|\\PC{0,24})") {
            let (size, speed) = (bytes(&text), rate(&text));
            if let Ok(size) = size {
                prop_assert_eq!(bytes(&show_bytes(size)), Ok(size));
                prop_assert!(speed.is_ok() || speed == Err(Wrong::Nothing));
            }
        }
    }
}
