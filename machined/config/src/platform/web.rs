//! Bounded requests to servers that need not be well-behaved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use remote::{Ask, Cause, Error, Options};
use state::chain;

/// How long each step of a request may take.
const STEP: Duration = Duration::from_secs(15);
/// How many redirects are followed, if any.
const REDIRECTS: u32 = 5;

/// A request for a small file.
#[derive(Debug, Clone)]
pub(super) struct Get {
    /// The address.
    pub url: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The most bytes that it may have.
    pub most: usize,
    /// How long all of it may take.
    pub within: Duration,
    /// Set to follow redirects. A metadata service has no reason for one, and a header may be secret.
    pub redirects: bool,
}

/// Reads a file; `None` when the server says that there is none.
///
/// # Errors
///
/// One sentence.
pub(super) async fn get(get: Get) -> Result<Option<Vec<u8>>, String> {
    absent(send(Method::GET, get).await)
}

/// Sends an empty PUT, and reads the answer; `None` when the server knows no such request.
///
/// # Errors
///
/// One sentence.
pub(super) async fn put(get: Get) -> Result<Option<Vec<u8>>, String> {
    absent(send(Method::PUT, get).await)
}

async fn send(method: Method, get: Get) -> Result<Vec<u8>, Error> {
    let cancelled = CancelOnDrop(Arc::default());
    let options = Options {
        connect: STEP.min(get.within),
        answer: STEP.min(get.within),
        stall: STEP.min(get.within),
        redirects: if get.redirects { REDIRECTS } else { 0 },
        stop: cancelled.0.clone(),
        ..Options::default()
    };
    let send = move || {
        let headers: Vec<(&str, &str)> = get
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let ask = Ask {
            method,
            url: &get.url,
            headers: &headers,
            most: get.most,
            within: get.within,
        };
        remote::ask(&ask, &options)
    };
    // A request that panics was not answered.
    tokio::task::spawn_blocking(send)
        .await
        .unwrap_or(Err(Error::Stopped))
}

fn absent(read: Result<Vec<u8>, Error>) -> Result<Option<Vec<u8>>, String> {
    match read {
        Err(Error::Refused {
            source: Cause::Status(StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED),
            ..
        }) => Ok(None),
        read => read.map(Some).map_err(|error| chain(&error)),
    }
}

/// Ends a request whose answer nobody waits for any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
