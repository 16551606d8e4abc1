//! What a server's answer promises, from its head alone.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::error::Cause;

/// The longest that a server's wish to be left alone is heeded.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// Which bytes of the file follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A part, and how long the whole is, if the server tells.
    Part {
        start: u64,
        end: u64,
        total: Option<u64>,
    },
    /// The whole file, from its start: the server gives no ranges, or the file is another one by now.
    Whole { len: u64 },
    /// The part does not exist; how long the whole is, if the server tells.
    Beyond { total: Option<u64> },
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Part { start, end, total } => {
                write!(f, "bytes {start} to {}", end - 1)?;
                total.map_or(Ok(()), |total| write!(f, " of {total}"))
            }
            Answer::Whole { len } => write!(f, "the whole file of {len} bytes"),
            Answer::Beyond { total: None } => f.write_str("no such bytes"),
            Answer::Beyond { total: Some(total) } => write!(f, "no such bytes, but {total} in all"),
        }
    }
}

/// Reads the head of an answer.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap) -> Result<Answer, Cause> {
    let encoding = text(headers, &CONTENT_ENCODING).unwrap_or("identity");
    if encoding != "identity" {
        // Bytes of a compressed form are not bytes of the file.
        return Err(Cause::Answer(format!(
            "it is in the encoding {encoding:?}, unasked"
        )));
    }
    let length = text(headers, &CONTENT_LENGTH)
        .map(str::parse::<u64>)
        .and_then(Result::ok);
    let range = text(headers, &CONTENT_RANGE);
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = range.ok_or_else(|| Cause::Answer("a part that does not say which one".into()))?;
            let (start, end, total) =
                part(range).ok_or_else(|| Cause::Answer(format!("Content-Range: {range}")))?;
            if length.is_some_and(|length| length != end - start) {
                return Err(Cause::Answer(format!(
                    "Content-Range: {range}, with another length"
                )));
            }
            Ok(Answer::Part { start, end, total })
        }
        StatusCode::OK => match length {
            Some(len) => Ok(Answer::Whole { len }),
            None => Err(Cause::Answer("it does not tell the file's length".into())),
        },
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let total = range
                .and_then(|range| range.strip_prefix("bytes */"))
                .and_then(number);
            Ok(Answer::Beyond { total })
        }
        other => Err(Cause::Status(other)),
    }
}

/// Returns how long the server wants to be left alone.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, &RETRY_AFTER).and_then(number)?;
    Some(Duration::from_secs(seconds).min(LONGEST_WISH))
}

/// Reads `bytes FIRST-LAST/TOTAL`. The end that is returned is exclusive.
fn part(range: &str) -> Option<(u64, u64, Option<u64>)> {
    let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (start, end) = (number(first)?, number(last)?.checked_add(1)?);
    let total = match total {
        "*" => None,
        total => Some(number(total)?),
    };
    let sound = start < end && total.is_none_or(|total| end <= total);
    sound.then_some((start, end, total))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// What tells one content of an address from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    etag: Option<String>,
    modified: Option<String>,
}

impl Mark {
    /// Reads the mark of an answer.
    pub fn of(headers: &HeaderMap) -> Mark {
        let owned = |name| text(headers, name).map(str::to_owned);
        Mark {
            etag: owned(&ETAG),
            modified: owned(&LAST_MODIFIED),
        }
    }

    /// Returns the value of If-Range: the part is wanted of this very content only.
    pub fn condition(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| opaque(etag) == *etag);
        strong.or(self.modified.as_deref())
    }

    /// Says in what another answer's content is known to differ.
    ///
    /// ETags are compared weakly (RFC 9110, 8.8.3.2): behind a balancer one server compresses, and so weakens, what another
    /// sends as it is.
    pub fn differs(&self, other: &Mark) -> Option<String> {
        for (name, before, now) in [
            ("ETag", &self.etag, &other.etag),
            ("Last-Modified", &self.modified, &other.modified),
        ] {
            if let (Some(before), Some(now)) = (before, now) {
                // An equal ETag settles it: mirrors may differ in their clocks.
                return (opaque(before) != opaque(now)).then(|| format!("{name} was {before}, and is {now}"));
            }
        }
        None
    }

    /// Returns true if another answer, with no mark that could be compared, leaves open whether it is the same content.
    pub fn lost_in(&self, other: &Mark) -> bool {
        let comparable = self.etag.is_some() && other.etag.is_some()
            || self.modified.is_some() && other.modified.is_some();
        *self != Mark::default() && !comparable
    }
}

/// Returns an ETag without the sign that it is a weak one. Dates have none.
fn opaque(mark: &str) -> &str {
    mark.strip_prefix("W/").unwrap_or(mark)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_part_must_say_which() {
        let read = |range: &str, length: &str| {
            let headers = headers(&[(CONTENT_RANGE, range), (CONTENT_LENGTH, length)]);
            super::read(StatusCode::PARTIAL_CONTENT, &headers)
        };
        let part = Answer::Part {
            start: 5,
            end: 10,
            total: Some(20),
        };
        assert_eq!(read("bytes 5-9/20", "5").unwrap(), part);
        let open = Answer::Part {
            start: 0,
            end: 1,
            total: None,
        };
        assert_eq!(read("bytes 0-0/*", "1").unwrap(), open);
        for wrong in [
            "bytes 5-4/20",
            "bytes 5-20/20",
            "bytes */20",
            "5-9/20",
            "bytes 5-9",
            "bytes -5-9/20",
            "",
        ] {
            assert!(matches!(read(wrong, "5"), Err(Cause::Answer(_))), "{wrong}");
        }
        assert!(read("bytes 5-9/20", "6").is_err());
        assert!(super::read(StatusCode::PARTIAL_CONTENT, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_compressed_answer_is_none() {
        let headers = headers(&[(CONTENT_LENGTH, "5"), (CONTENT_ENCODING, "gzip")]);
        assert!(matches!(read(StatusCode::OK, &headers), Err(Cause::Answer(_))));
    }

    #[test]
    fn marks_are_compared_as_far_as_both_have_them() {
        let mark = |etag: Option<&str>, modified: Option<&str>| Mark {
            etag: etag.map(str::to_owned),
            modified: modified.map(str::to_owned),
        };
        let both = mark(Some("\"a\""), Some("monday"));
        assert_eq!(both.differs(&mark(Some("\"a\""), Some("tuesday"))), None);
        assert!(both.differs(&mark(Some("\"b\""), Some("monday"))).is_some());
        assert!(both.differs(&mark(None, Some("tuesday"))).is_some());
        assert_eq!(both.differs(&mark(Some("W/\"a\""), None)), None);
        assert_eq!(mark(Some("W/\"a\""), None).differs(&both), None);
        assert!(both.differs(&mark(Some("W/\"b\""), Some("monday"))).is_some());
        assert!(both.lost_in(&mark(None, None)));
        assert!(!both.lost_in(&mark(None, Some("monday"))));
        assert!(!mark(None, None).lost_in(&both));
        assert_eq!(both.condition(), Some("\"a\""));
        assert_eq!(mark(Some("W/\"a\""), Some("monday")).condition(), Some("monday"));
        assert_eq!(mark(Some("W/\"a\""), None).condition(), None);
    }

    proptest! {
        #[test]
        fn whatever_a_part_is_said_to_be_it_is_sound(range in "(bytes )?[0-9*]{0,21}-?[0-9]{0,21}/?[0-9*]{0,21}") {
            if let Some((start, end, total)) = part(&range) {
                prop_assert!(start < end && total.is_none_or(|total| end <= total));
            }
        }
    }
}
