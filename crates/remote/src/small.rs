//! A small file, read whole.

use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Method, Request};

use crate::address::Address;
use crate::agent::agent;
use crate::{Cause, Error, Options, Remote, shown};

/// Reads a whole file of at most `most` bytes. Blocks.
///
/// # Errors
///
/// All errors of [`Remote`], and [`Error::TooLong`].
pub fn read_small(url: &str, options: Options, most: usize) -> Result<Vec<u8>, Error> {
    let options = Options {
        first: u64::try_from(most).unwrap_or(u64::MAX),
        ..options
    };
    let mut remote = Remote::open(url, options)?;
    let length = usize::try_from(remote.len()).unwrap_or(usize::MAX);
    if length > most {
        let url = shown(url);
        return Err(Error::TooLong { url, most });
    }
    let mut content = vec![0; length];
    remote.read_at(0, &mut content)?;
    Ok(content)
}

/// One request, for an answer that is read whole.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The method: GET, or PUT with an empty body.
    pub method: Method,
    /// The address.
    pub url: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The most bytes that the answer may have.
    pub most: usize,
    /// How long all of it may take.
    pub within: Duration,
}

/// An answer whose body is still to be read.
pub struct Reply {
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, cut off one byte after the most that it may have.
    pub body: Box<dyn std::io::Read + Send>,
}

/// Makes one request, once, and returns the answer with any status. Reading its body blocks, too.
///
/// # Errors
///
/// When there is no answer in time.
pub fn request(ask: &Ask<'_>, options: &Options) -> Result<Reply, Error> {
    let address = Address::parse(ask.url)?;
    let reply = send(ask, options, &address)?;
    let (head, body) = reply.into_parts();
    let most = (ask.most as u64).saturating_add(1);
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body: Box::new(body.into_reader().take(most)),
    })
}

/// Makes one request, once, and reads the answer, with or without a length. Blocks.
///
/// # Errors
///
/// When there is no answer in time, none that is 200, or too long a one.
pub fn ask(ask: &Ask<'_>, options: &Options) -> Result<Vec<u8>, Error> {
    let address = Address::parse(ask.url)?;
    let refused = |source| Error::Refused {
        url: address.shown.clone(),
        source,
    };
    let reply = send(ask, options, &address)?;
    if reply.status() != http::StatusCode::OK {
        return Err(refused(Cause::Status(reply.status())));
    }
    let mut reader = reply.into_body().into_reader().take(ask.most as u64 + 1);
    let (mut content, mut piece) = (Vec::new(), [0; 8 * 1024]);
    loop {
        // A server may send a byte at a time.
        if options.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(came) => content.extend_from_slice(&piece[..came]),
            Err(error) => return Err(refused(Cause::from_body(error))),
        }
    }
    match content.len() > ask.most {
        true => Err(Error::TooLong {
            url: address.shown,
            most: ask.most,
        }),
        false => Ok(content),
    }
}

fn send(ask: &Ask<'_>, options: &Options, address: &Address) -> Result<http::Response<ureq::Body>, Error> {
    let refused = |source| Error::Refused {
        url: address.shown.clone(),
        source,
    };
    let mut request = Request::builder().method(&ask.method).uri(&address.uri);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    if let Some(authorization) = &address.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    // The body of a PUT is there, and empty: some servers insist on its length.
    let body: &[u8] = &[];
    let agent = agent(address, options)?;
    let http = |error| refused(Cause::Http(ureq::Error::Http(error)));
    let reply = match ask.method {
        Method::PUT => {
            let request = agent.configure_request(request.body(body).map_err(http)?);
            agent.run(request.timeout_global(Some(ask.within)).build())
        }
        _ => {
            let request = agent.configure_request(request.body(()).map_err(http)?);
            agent.run(request.timeout_global(Some(ask.within)).build())
        }
    };
    reply.map_err(|error| refused(Cause::from_http(error)))
}
