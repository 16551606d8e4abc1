//! Sizes, times and errors for people.

use std::error::Error;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Formats a time in UTC, to the second.
pub fn moment(moment: SystemTime) -> String {
    let moment = OffsetDateTime::from(moment);
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_else(|_| whole.to_string())
}

/// Formats a time given in milliseconds since 1970, in UTC, to the millisecond.
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

/// Joins an error and its causes, each of them once.
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
    use std::time::Duration;

    use super::*;

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
