//! How a file is fetched.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Receives one sentence for each failed try, and each time the file is read from its start again.
pub type OnRetry = Box<dyn Fn(&str) + Send>;

/// Receives the number of bytes as they arrive, requested or not, and may block: a rate limit.
pub type Pace = Box<dyn FnMut(u64) + Send>;

/// How to reach the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Directly.
    #[default]
    None,
    /// Through this proxy: `http://HOST:PORT`, or `http://USER:PASSWORD@HOST:PORT`. It must allow CONNECT.
    At(String),
    /// As configured by the environment variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower
    /// case. `NO_PROXY` lists names, addresses and networks, separated by commas.
    FromEnvironment,
}

/// How a file is fetched. The defaults suit a slow, unreliable connection.
pub struct Options {
    /// How to reach the server.
    pub proxy: Proxy,
    /// Certificates in PEM of authorities that are trusted in addition to the public ones.
    pub authority: Option<String>,
    /// Set when the reader verifies everything it takes, for example with a hash tree. Then its proofs, and not the server,
    /// decide whether the content is the same: another ETag or date, as servers behind a balancer return, is only noted.
    pub verified_by_reader: bool,
    /// The number of bytes of the first request: what will be read first.
    pub first: u64,
    /// The number of tries in a row without one byte of progress.
    pub tries: u32,
    /// The number of tries to open the file. Fewer, because somebody waits: a wrong address is the likely reason.
    pub tries_to_open: u32,
    /// The pause after the second failed try. It doubles from try to try; after the first one there is none.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The timeout of the name lookup and of connecting.
    pub connect: Duration,
    /// The timeout of the response's head.
    pub answer: Duration,
    /// The timeout of a body without progress.
    pub stall: Duration,
    /// The number of redirects that are followed.
    pub redirects: u32,
    /// How often a server without ranges may be asked to send the file from its start again, for bytes that have passed. Each
    /// time costs as much as the file.
    pub restarts: u32,
    /// Cancels everything once it is true.
    pub stop: Arc<AtomicBool>,
    /// Receives the reason of each failed try.
    pub on_retry: Option<OnRetry>,
    /// Receives the number of bytes as they arrive.
    pub pace: Option<Pace>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            proxy: Proxy::None,
            authority: None,
            verified_by_reader: false,
            first: 64 * 1024,
            tries: 12,
            tries_to_open: 4,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            redirects: 5,
            restarts: 0,
            stop: Arc::default(),
            on_retry: None,
            pace: None,
        }
    }
}

impl Options {
    /// Returns the pause after this many failed tries in a row.
    pub(crate) fn pause_after(&self, failures: u32) -> Duration {
        match failures {
            0 | 1 => Duration::ZERO,
            more => self
                .pause
                .saturating_mul(1 << (more - 2).min(20))
                .min(self.longest_pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let options = Options::default();
        let pauses: Vec<u128> = [1, 2, 3, 4, 7, 8, 9, u32::MAX]
            .map(|failures| options.pause_after(failures).as_millis())
            .to_vec();
        assert_eq!(pauses, [0, 500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
    }
}
