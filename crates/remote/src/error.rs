//! What can go wrong during a fetch, and which errors are worth a retry.

use std::io;
use std::time::Duration;

use http::StatusCode;

use crate::tls;

/// Why a file cannot be read. Addresses are shown without what may be secret in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is invalid.
    #[error("this is not the address of a bundle: {0}; expected http://HOST/PATH or https://HOST/PATH")]
    Address(&'static str),
    /// The proxy's address is invalid.
    #[error("this is not the address of a proxy; expected http://HOST:PORT")]
    Proxy,
    /// The proxy in the environment cannot be used.
    #[error(
        "{variable} names a proxy that cannot be used: {reason}; expected http://HOST:PORT, or the host in NO_PROXY"
    )]
    UnusableProxy {
        /// The variable.
        variable: &'static str,
        /// Why.
        reason: String,
    },
    /// The certificate of the own authority cannot be read.
    #[error("the certificate of the own authority cannot be used; expected PEM")]
    Authority(#[source] rustls_pki_types::pem::Error),
    /// Retrying would not help.
    #[error("cannot fetch {url}")]
    Refused {
        /// The file.
        url: String,
        /// What the server, or the connection, reports.
        source: Cause,
    },
    /// Retrying did not help.
    #[error("cannot fetch {url}: gave up after {tries} tries in a row")]
    RetriesExhausted {
        /// The file.
        url: String,
        /// The number of tries without one byte of progress.
        tries: u32,
        /// What went wrong the last time.
        source: Cause,
    },
    /// The file has changed. What was read so far must not be mixed with the new content.
    #[error("{url} changed while it was read: {what}")]
    Changed {
        /// The file.
        url: String,
        /// What differs.
        what: String,
    },
    /// The server sends the file only from its start, and the requested bytes have passed.
    #[error("the server of {url} does not support ranges, and byte {wanted} has passed: read in order")]
    Backward {
        /// The file.
        url: String,
        /// The first requested byte.
        wanted: u64,
    },
    /// The server sends the file only from its start, and does not reach its end.
    #[error(
        "the server of {url} does not support ranges, and its responses are cut off: the file was restarted {times} times"
    )]
    Resent {
        /// The file.
        url: String,
        /// How often it was restarted.
        times: u32,
    },
    /// Bytes after the end were requested.
    #[error("{url} has {len} bytes: there is no byte {wanted}")]
    End {
        /// The file.
        url: String,
        /// Its length.
        len: u64,
        /// The last requested byte.
        wanted: u64,
    },
    /// The file is longer than what it is for may be.
    #[error("{url} has more than {most} bytes")]
    TooLong {
        /// The file.
        url: String,
        /// The number of bytes that are allowed.
        most: usize,
    },
    /// The fetch was cancelled.
    #[error("the fetch was cancelled")]
    Stopped,
}

/// What went wrong in one try.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The server responds, but not with the file.
    #[error("the server responds with {0}")]
    Status(StatusCode),
    /// The server's response is invalid.
    #[error("the server's response is invalid: {0}")]
    BadResponse(String),
    /// The connection ended in the middle of a range.
    #[error("the connection ended {missing} bytes too early")]
    Cut {
        /// Promised bytes that did not arrive.
        missing: u64,
    },
    /// A redirect leads from an encrypted address to an unencrypted one.
    #[error("the server redirects from https to http")]
    Downgrade,
    /// A redirect leads to an invalid address.
    #[error("the server redirects to an invalid address")]
    Redirect,
    /// The connection fails.
    #[error(transparent)]
    Line(io::Error),
    /// The server's certificate, or what it says about ours, ends the connection.
    #[error("{}", tls::explain(.0))]
    Tls(rustls::Error),
    /// The protocol fails, or a timeout expires.
    #[error("{}", sentence(.0))]
    Http(ureq::Error),
}

impl Cause {
    /// Classifies an error of the HTTP library; its texts may contain addresses, which may contain secrets.
    pub(crate) fn from_http(error: ureq::Error) -> Cause {
        match error {
            ureq::Error::RequireHttpsOnly(_) => Cause::Downgrade,
            ureq::Error::BadUri(_) | ureq::Error::RedirectFailed => Cause::Redirect,
            ureq::Error::StatusCode(code) => StatusCode::from_u16(code)
                .map_or_else(|_| Cause::BadResponse(format!("status {code}")), Cause::Status),
            ureq::Error::Rustls(error) => Cause::Tls(error),
            ureq::Error::Io(error) => match tls::inside(&error) {
                Some(tls) => Cause::Tls(tls.clone()),
                None => Cause::Line(error),
            },
            other => Cause::Http(other),
        }
    }

    /// Classifies an error of reading a body.
    pub(crate) fn from_body(error: io::Error) -> Cause {
        Cause::from_http(ureq::Error::from(error))
    }

    /// Returns true if a retry may succeed.
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
            Cause::BadResponse(_) | Cause::Cut { .. } => true,
            Cause::Downgrade | Cause::Redirect => false,
            // A server that shows the wrong certificate once will show it again.
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

/// Describes an error of the HTTP library in a sentence.
fn sentence(error: &ureq::Error) -> String {
    use ureq::Timeout;
    match error {
        ureq::Error::Timeout(Timeout::Resolve) => "looking up the host's name takes too long".to_owned(),
        ureq::Error::Timeout(Timeout::Connect) => {
            "the server, or the proxy, cannot be reached in time".to_owned()
        }
        ureq::Error::Timeout(_) => "the server does not continue in time".to_owned(),
        ureq::Error::HostNotFound => "there is no host with that name".to_owned(),
        ureq::Error::ConnectionFailed => "the server cannot be reached".to_owned(),
        ureq::Error::TooManyRedirects => "the server redirects too many times".to_owned(),
        ureq::Error::ConnectProxyFailed(said) => format!("the proxy does not connect: {said}"),
        ureq::Error::LargeResponseHeader(..) => "the head of the server's response is too long".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
            "the server's response is not valid HTTP".to_owned()
        }
        ureq::Error::Tls(said) => format!("TLS fails: {said}"),
        other => format!("the request fails: {other}"),
    }
}

/// The outcome of one failed try: what went wrong, and how long the server asks to wait.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Retrying is useless.
    Final(Error),
    /// It may be retried.
    Passing(Cause, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Final(error)
    }
}
