//! What can go wrong between us and the file, and what of it may pass.

use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::tls;

/// Why there are no bytes. Addresses are shown without what may be secret in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("this is no address of a bundle: {0}; expected http://HOST/PATH or https://HOST/PATH")]
    Address(&'static str),
    /// The proxy's address is none.
    #[error("this is no address of a proxy; expected http://HOST:PORT")]
    Proxy,
    /// The proxy that the environment names cannot be used.
    #[error(
        "{variable} names a proxy that cannot be used: {reason}; expected http://HOST:PORT, or the host in NO_PROXY"
    )]
    UnusableProxy {
        /// The variable.
        variable: &'static str,
        /// Why.
        reason: String,
    },
    /// The own authority's certificate cannot be read.
    #[error("the certificate of the own authority cannot be used; expected PEM")]
    Authority(#[source] rustls_pki_types::pem::Error),
    /// Trying again would not help.
    #[error("cannot fetch {url}")]
    Refused {
        /// The file.
        url: String,
        /// What the server, or the way to it, says.
        source: Cause,
    },
    /// Trying again did not help.
    #[error("cannot fetch {url}: given up after {tries} tries in a row")]
    GivenUp {
        /// The file.
        url: String,
        /// How often it was tried without one byte of progress.
        tries: u32,
        /// What went wrong the last time.
        source: Cause,
    },
    /// The file is another one than at first. What was read so far must not be mixed with what is there now.
    #[error("{url} was changed while it was read: {what}")]
    Changed {
        /// The file.
        url: String,
        /// What differs.
        what: String,
    },
    /// The server sends the file only from its start, and what is wanted has gone by.
    #[error("the server of {url} gives no ranges, and byte {wanted} has gone by: read in order")]
    Backward {
        /// The file.
        url: String,
        /// The first byte that is wanted.
        wanted: u64,
    },
    /// The server sends the file only from its start, and does not get to its end.
    #[error(
        "the server of {url} gives no ranges, and its answers are cut off: the file began anew {times} times"
    )]
    Resent {
        /// The file.
        url: String,
        /// How often it began anew.
        times: u32,
    },
    /// Bytes behind the end are wanted.
    #[error("{url} has {len} bytes: there is no byte {wanted}")]
    End {
        /// The file.
        url: String,
        /// How long it is.
        len: u64,
        /// The last byte that is wanted.
        wanted: u64,
    },
    /// Somebody called the fetch off.
    #[error("the fetch was called off")]
    Stopped,
}

/// What went wrong in one try.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The server answers, but not with the file.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server's answer makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Answer(String),
    /// The connection ended in the middle of a range.
    #[error("the connection ended {missing} bytes too early")]
    Cut {
        /// Bytes that were promised and did not come.
        missing: u64,
    },
    /// A redirect leads from an encrypted address to one that is not.
    #[error("the server leads from https to http")]
    Downgrade,
    /// A redirect leads nowhere.
    #[error("the server leads to something that is no address")]
    Redirect,
    /// The way to the server fails.
    #[error(transparent)]
    Line(io::Error),
    /// The server's certificate, or what it says about ours, ends the connection.
    #[error("{}", tls::explain(.0))]
    Tls(rustls::Error),
    /// The protocol fails, or time is up.
    #[error("{}", sentence(.0))]
    Http(ureq::Error),
}

impl Cause {
    /// Sorts what the HTTP library says; its texts may hold addresses, which may hold secrets.
    pub(crate) fn from_http(error: ureq::Error) -> Cause {
        match error {
            ureq::Error::RequireHttpsOnly(_) => Cause::Downgrade,
            ureq::Error::BadUri(_) | ureq::Error::RedirectFailed => Cause::Redirect,
            ureq::Error::StatusCode(code) => StatusCode::from_u16(code)
                .map_or_else(|_| Cause::Answer(format!("status {code}")), Cause::Status),
            ureq::Error::Rustls(error) => Cause::Tls(error),
            ureq::Error::Io(error) => match tls::inside(&error) {
                Some(tls) => Cause::Tls(tls.clone()),
                None => Cause::Line(error),
            },
            other => Cause::Http(other),
        }
    }

    /// Sorts what reading a body says.
    pub(crate) fn from_body(error: io::Error) -> Cause {
        Cause::from_http(ureq::Error::from(error))
    }

    /// Returns true if the next try may fare better.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Cause::Status(status) => {
                status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED
                    || [
                        StatusCode::REQUEST_TIMEOUT,
                        StatusCode::TOO_EARLY,
                        StatusCode::TOO_MANY_REQUESTS,
                    ]
                    .contains(status)
            }
            Cause::Answer(_) | Cause::Cut { .. } => true,
            Cause::Downgrade | Cause::Redirect => false,
            // A server that shows the wrong certificate once shows it again.
            Cause::Tls(error) => !matches!(error, rustls::Error::InvalidCertificate(_)),
            Cause::Line(_) => true,
            Cause::Http(error) => !matches!(
                error,
                ureq::Error::TooManyRedirects
                    | ureq::Error::Tls(_)
                    | ureq::Error::TlsRequired
                    | ureq::Error::InvalidProxyUrl
                    | ureq::Error::Http(_)
                    | ureq::Error::LargeResponseHeader(..)
            ),
        }
    }
}

/// Returns what the HTTP library says, in words.
fn sentence(error: &ureq::Error) -> String {
    use ureq::Timeout;
    match error {
        ureq::Error::Timeout(Timeout::Resolve) => "looking up the host's name takes too long".to_owned(),
        ureq::Error::Timeout(Timeout::Connect) => {
            "the server, or the proxy, cannot be reached in time".to_owned()
        }
        ureq::Error::Timeout(_) => "the server does not go on in time".to_owned(),
        ureq::Error::HostNotFound => "there is no host of that name".to_owned(),
        ureq::Error::ConnectionFailed => "the server cannot be reached".to_owned(),
        ureq::Error::TooManyRedirects => "the server leads elsewhere again and again".to_owned(),
        ureq::Error::ConnectProxyFailed(said) => format!("the proxy does not connect: {said}"),
        ureq::Error::LargeResponseHeader(..) => "the head of the server's answer is too long".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
            "the server's answer is not HTTP as it should be".to_owned()
        }
        ureq::Error::Tls(said) => format!("TLS fails: {said}"),
        other => format!("the request fails: {other}"),
    }
}

/// One try's end: what went wrong, and how long the server wants to be left alone.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Trying again is of no use.
    Final(Error),
    /// It may be tried again.
    Passing(Cause, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Final(error)
    }
}
