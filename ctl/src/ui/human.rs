//! Figures for people.

use std::error::Error;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Shows a size in the unit that fits: `512 B`, `1.5 KiB`, `12 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10 * 1024 && unit < UNITS.len() - 1 {
        tenths /= 1024;
        unit += 1;
    }
    match (tenths / 10, tenths % 10) {
        (whole @ 0..100, tenth @ 1..) => format!("{whole}.{tenth} {}", UNITS[unit]),
        (whole, _) => format!("{whole} {}", UNITS[unit]),
    }
}

/// Shows a time span in its two largest units: `850ms`, `12s`, `3m 5s`, `4d 2h`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let pair = |large: u64, a: &str, small: u64, b: &str| match small {
        0 => format!("{large}{a}"),
        small => format!("{large}{a} {small}{b}"),
    };
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => pair(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// Shows a moment in UTC, to the second.
pub fn moment(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_else(|_| whole.to_string())
}

/// Shows a moment given in milliseconds since 1970, in UTC, to the millisecond.
pub fn moment_ms(millis: i64) -> String {
    let nanos = i128::from(millis) * 1_000_000;
    let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return millis.to_string();
    };
    let second = moment
        .replace_nanosecond(0)
        .unwrap_or(moment)
        .format(&Rfc3339)
        .unwrap_or_default();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), moment.millisecond())
}

/// Joins an error and its causes, each said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (999 * 1024, "999 KiB"),
            (12 << 30, "12 GiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (count, shown) in cases {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn spans_have_two_units() {
        let cases = [
            (0.85, "850ms"),
            (12.0, "12s"),
            (185.0, "3m 5s"),
            (7200.0, "2h"),
            (352_800.0, "4d 2h"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), shown);
        }
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(
            moment(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)),
            "1970-01-01T00:00:01Z"
        );
        assert_eq!(moment_ms(1_800_000_000_007), "2027-01-15T08:00:00.007Z");
        assert_eq!(moment_ms(i64::MIN), i64::MIN.to_string());
    }
}
