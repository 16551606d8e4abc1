//! Fetches the two files of a rollout from a web server.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use remote::{Options, Proxy};
use rollout::{MAX_LEN, MAX_SIGNATURES, signatures_of};

/// Where the files are, and how to reach them.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub url: String,
    pub proxy: Option<String>,
    pub authority: Option<String>,
    /// Cancels the fetch once it is true.
    pub stop: Arc<AtomicBool>,
}

/// The fetched texts, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    pub document: Vec<u8>,
    pub signatures: Vec<u8>,
}

/// Fetches the files of a rollout. Blocks.
pub(super) trait Fetch: Send + Sync {
    fn fetch(&self, ask: &Ask) -> Result<Texts, remote::Error>;
}

/// Fetches them like bundles.
pub(super) struct Web;

impl Fetch for Web {
    fn fetch(&self, ask: &Ask) -> Result<Texts, remote::Error> {
        Ok(Texts {
            document: small(ask, &ask.url, MAX_LEN)?,
            signatures: small(ask, &signatures_of(&ask.url), MAX_SIGNATURES)?,
        })
    }
}

/// Fetches a whole small file.
fn small(ask: &Ask, url: &str, most: usize) -> Result<Vec<u8>, remote::Error> {
    let options = Options {
        proxy: ask.proxy.clone().map_or(Proxy::None, Proxy::At),
        authority: ask.authority.clone(),
        // The next poll is the next try.
        tries: 2,
        tries_to_open: 2,
        connect: Duration::from_secs(20),
        answer: Duration::from_secs(20),
        stall: Duration::from_secs(20),
        stop: ask.stop.clone(),
        ..Options::default()
    };
    remote::read_small(url, options, most)
}
