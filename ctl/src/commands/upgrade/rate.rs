//! Rates as people write them.

/// Reads `2MB/s`, `500kB/s`, `1.5MiB/s`, `800KiB`; a plain number is bytes a second.
pub fn parse(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KIB", 1 << 10),
        ("MIB", 1 << 20),
        ("GIB", 1 << 30),
    ];
    let bare = text.strip_suffix("/s").unwrap_or(text);
    let split = bare
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(bare.len());
    let (number, unit) = bare.split_at(split);
    let unit = unit.trim_start();
    let factor = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, factor)| *factor)
        .ok_or_else(|| format!("{unit:?} is no unit; there are B, kB, MB, GB, KiB, MiB and GiB"))?;
    let wrong = || "expected a rate such as 2MB/s or 500KiB/s".to_owned();
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let scale = u32::try_from(part.len())
        .ok()
        .filter(|length| *length <= 9)
        .map(|length| 10_u64.pow(length))
        .ok_or_else(wrong)?;
    let part = u128::from(digits(part)?) * u128::from(factor) / u128::from(scale);
    let rate = u128::from(digits(whole)?) * u128::from(factor) + part;
    match u64::try_from(rate) {
        Ok(0) => Err("a rate of nothing fetches nothing; leave it out for no limit".to_owned()),
        Ok(rate) => Ok(rate),
        Err(_) => Err("too fast".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_have_units() {
        let cases = [
            ("7", 7),
            ("7B/s", 7),
            ("500kB/s", 500_000),
            ("2MB/s", 2_000_000),
            ("2 MB/s", 2_000_000),
            ("1.5MiB/s", 1_572_864),
            ("0.5KiB", 512),
            ("1gib/s", 1 << 30),
        ];
        for (text, rate) in cases {
            assert_eq!(parse(text), Ok(rate), "{text}");
        }
        for wrong in [
            "",
            "0",
            "0.0001B",
            "MB",
            "-1MB",
            "1.MB",
            ".5MB",
            "1..5MB",
            "1Mb5",
            "1TB",
            "2MB/h",
            "99999999999999999999",
            "99999999999GiB/s",
            "1.0000000001MB",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_number_is_its_own_rate(rate in 1_u64..) {
            prop_assert_eq!(parse(&rate.to_string()), Ok(rate));
            prop_assert_eq!(parse(&format!("{rate}B/s")), Ok(rate));
        }
    }
}
