//! What the head of a server's response promises.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::error::Cause;

/// The longest Retry-After that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The bytes of the file that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeResponse {
    /// A part, and the length of the whole, if the server says so.
    Part {
        start: u64,
        end: u64,
        total: Option<u64>,
    },
    /// The whole file, from its start: the server does not support ranges, or the file has changed.
    Whole { len: u64 },
    /// The part does not exist; holds the length of the whole, if the server says so.
    Beyond { total: Option<u64> },
}

impl fmt::Display for RangeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeResponse::Part { start, end, total } => {
                write!(f, "bytes {start} to {}", end - 1)?;
                total.map_or(Ok(()), |total| write!(f, " of {total}"))
            }
            RangeResponse::Whole { len } => write!(f, "the whole file of {len} bytes"),
            RangeResponse::Beyond { total: None } => f.write_str("no such bytes"),
            RangeResponse::Beyond { total: Some(total) } => write!(f, "no such bytes, but {total} in all"),
        }
    }
}

/// Reads the head of a response.
pub(crate) fn read(status: StatusCode, headers: &HeaderMap) -> Result<RangeResponse, Cause> {
    let encoding = text(headers, &CONTENT_ENCODING).unwrap_or("identity");
    if encoding != "identity" {
        // Bytes of a compressed form are not bytes of the file.
        return Err(Cause::BadResponse(format!(
            "it is in the encoding {encoding:?}, which was not requested"
        )));
    }
    let length = text(headers, &CONTENT_LENGTH)
        .map(str::parse::<u64>)
        .and_then(Result::ok);
    let range = text(headers, &CONTENT_RANGE);
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = range.ok_or_else(|| Cause::BadResponse("a part without a Content-Range".into()))?;
            let (start, end, total) =
                part(range).ok_or_else(|| Cause::BadResponse(format!("Content-Range: {range}")))?;
            if length.is_some_and(|length| length != end - start) {
                return Err(Cause::BadResponse(format!(
                    "Content-Range: {range}, with another length"
                )));
            }
            Ok(RangeResponse::Part { start, end, total })
        }
        StatusCode::OK => match length {
            Some(len) => Ok(RangeResponse::Whole { len }),
            None => Err(Cause::BadResponse("it has no length".into())),
        },
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let total = range
                .and_then(|range| range.strip_prefix("bytes */"))
                .and_then(number);
            Ok(RangeResponse::Beyond { total })
        }
        other => Err(Cause::Status(other)),
    }
}

/// Returns how long the server asks to wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, &RETRY_AFTER).and_then(number)?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
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

/// What distinguishes versions of a file: ETag and Last-Modified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    etag: Option<String>,
    modified: Option<String>,
}

impl Validators {
    /// Reads the validators of a response.
    pub fn of(headers: &HeaderMap) -> Validators {
        let owned = |name| text(headers, name).map(str::to_owned);
        Validators {
            etag: owned(&ETAG),
            modified: owned(&LAST_MODIFIED),
        }
    }

    /// Returns the value of If-Range: the part is requested of this version only.
    pub fn condition(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| opaque(etag) == *etag);
        strong.or(self.modified.as_deref())
    }

    /// Returns how another response's version is known to differ.
    ///
    /// ETags are compared weakly (RFC 9110, 8.8.3.2): behind a balancer one server compresses, and so weakens, what another
    /// sends as it is.
    pub fn differs(&self, other: &Validators) -> Option<String> {
        for (name, before, now) in [
            ("ETag", &self.etag, &other.etag),
            ("Last-Modified", &self.modified, &other.modified),
        ] {
            if let (Some(before), Some(now)) = (before, now) {
                // An equal ETag is decisive: mirrors may have different clocks.
                return (opaque(before) != opaque(now)).then(|| format!("{name} was {before}, and is {now}"));
            }
        }
        None
    }

    /// Returns true if another response has no validator that could be compared, so that its version is unknown.
    pub fn missing_in(&self, other: &Validators) -> bool {
        let comparable = self.etag.is_some() && other.etag.is_some()
            || self.modified.is_some() && other.modified.is_some();
        *self != Validators::default() && !comparable
    }
}

/// Returns an ETag without its weakness prefix. Dates have none.
fn opaque(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
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
    fn a_part_must_have_a_valid_content_range() {
        let read = |range: &str, length: &str| {
            let headers = headers(&[(CONTENT_RANGE, range), (CONTENT_LENGTH, length)]);
            super::read(StatusCode::PARTIAL_CONTENT, &headers)
        };
        let part = RangeResponse::Part {
            start: 5,
            end: 10,
            total: Some(20),
        };
        assert_eq!(read("bytes 5-9/20", "5").unwrap(), part);
        let open = RangeResponse::Part {
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
            assert!(matches!(read(wrong, "5"), Err(Cause::BadResponse(_))), "{wrong}");
        }
        assert!(read("bytes 5-9/20", "6").is_err());
        assert!(super::read(StatusCode::PARTIAL_CONTENT, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_compressed_response_is_refused() {
        let headers = headers(&[(CONTENT_LENGTH, "5"), (CONTENT_ENCODING, "gzip")]);
        assert!(matches!(
            read(StatusCode::OK, &headers),
            Err(Cause::BadResponse(_))
        ));
    }

    #[test]
    fn validators_are_compared_if_both_have_them() {
        let validators = |etag: Option<&str>, modified: Option<&str>| Validators {
            etag: etag.map(str::to_owned),
            modified: modified.map(str::to_owned),
        };
        let both = validators(Some("\"a\""), Some("monday"));
        assert_eq!(both.differs(&validators(Some("\"a\""), Some("tuesday"))), None);
        assert!(both.differs(&validators(Some("\"b\""), Some("monday"))).is_some());
        assert!(both.differs(&validators(None, Some("tuesday"))).is_some());
        assert_eq!(both.differs(&validators(Some("W/\"a\""), None)), None);
        assert_eq!(validators(Some("W/\"a\""), None).differs(&both), None);
        assert!(
            both.differs(&validators(Some("W/\"b\""), Some("monday")))
                .is_some()
        );
        assert!(both.missing_in(&validators(None, None)));
        assert!(!both.missing_in(&validators(None, Some("monday"))));
        assert!(!validators(None, None).missing_in(&both));
        assert_eq!(both.condition(), Some("\"a\""));
        assert_eq!(
            validators(Some("W/\"a\""), Some("monday")).condition(),
            Some("monday")
        );
        assert_eq!(validators(Some("W/\"a\""), None).condition(), None);
    }

    proptest! {
        #[test]
        fn an_accepted_part_is_valid(range in "(bytes )?[0-9*]{0,21}-?[0-9]{0,21}/?[0-9*]{0,21}") {
            if let Some((start, end, total)) = part(&range) {
                prop_assert!(start < end && total.is_none_or(|total| end <= total));
            }
        }
    }
}
