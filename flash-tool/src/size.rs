//! Sizes as people write and read them.

/// Says that a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a size: give a number of bytes, or one with K, M, G or T (powers of 1024) or KB, MB, GB, TB (of 1000)"
)]
pub struct NotASize;

/// Reads a size such as `8G`, `7800MB` or `4294967296`.
pub fn parse(text: &str) -> Result<u64, NotASize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u64>().map_err(|_| NotASize)?;
    let unit = unit.trim().to_ascii_uppercase();
    let mut rest = unit.chars();
    let letter = rest.next();
    let base: u64 = match (letter, rest.as_str()) {
        (None, _) | (Some('B'), "") => return Ok(number),
        (Some(_), "" | "IB") => 1024,
        (Some(_), "B") => 1000,
        _ => return Err(NotASize),
    };
    let power = match letter {
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        _ => return Err(NotASize),
    };
    number.checked_mul(base.pow(power)).ok_or(NotASize)
}

/// Writes a size for people: three digits, as disks are sold (powers of 1000).
pub fn show(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let digits = if unit == "B" || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("8G", Some(8 << 30)),
            ("8GiB", Some(8 << 30)),
            ("8 gb", Some(8_000_000_000)),
            ("2k", Some(2048)),
            ("1T", Some(1 << 40)),
            ("", None),
            ("G", None),
            ("-1", None),
            ("1.5G", None),
            ("8X", None),
            ("8Gib8", None),
            ("ä", None),
            ("1ä", None),
            ("99999999T", None),
        ] {
            assert_eq!(parse(text).ok(), bytes, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (31_914_983_424, "31.9 GB"),
            (999_999_999, "1.00 GB"),
            (512_110_190_592, "512 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
