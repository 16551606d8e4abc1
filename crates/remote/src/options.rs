//! How a file is fetched.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Is told of each failed try, and of each start from anew, in one sentence.
pub type Told = Box<dyn Fn(&str) + Send>;

/// Is told of bytes as they come, wanted or not, and may take its time: a limit on the speed.
pub type Pace = Box<dyn FnMut(u64) + Send>;

/// Which way leads to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// The straight one.
    #[default]
    None,
    /// Through this proxy: `http://HOST:PORT`, where need be with `USER:PASSWORD@`. It must allow CONNECT.
    At(String),
    /// As the variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment say, in capital letters or
    /// small ones. `NO_PROXY` lists names, addresses and networks with commas between.
    FromEnvironment,
}

/// How a file is fetched. The defaults suit a thin, flaky line.
pub struct Options {
    /// The way to the server.
    pub proxy: Proxy,
    /// Certificates in PEM of authorities that are trusted beside the public ones.
    pub authority: Option<String>,
    /// Set when the reader proves all that it takes, as by a hash tree. Then it is up to its proofs, not to the server's words,
    /// whether the content is still the same: another ETag or date, as servers behind a balancer give, is only noted.
    pub proven: bool,
    /// How many bytes the first request asks for: what will be read first.
    pub first: u64,
    /// How often it is tried in a row without one byte of progress.
    pub tries: u32,
    /// How often it is tried to open the file. Fewer where somebody waits: a wrong address is the likely reason.
    pub tries_to_open: u32,
    /// The pause after the second failed try. It doubles from try to try; after the first there is none.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long looking up the name, and connecting, may take.
    pub connect: Duration,
    /// How long the server may think about its answer.
    pub answer: Duration,
    /// How long a body may stand still.
    pub stall: Duration,
    /// How often the server may lead elsewhere.
    pub redirects: u32,
    /// How often a server without ranges is made to send the file from its start again, for bytes that have gone by. It
    /// costs as much as the file each time.
    pub restarts: u32,
    /// Calls everything off once it is true.
    pub stop: Arc<AtomicBool>,
    /// Is told of each failed try.
    pub told: Option<Told>,
    /// Is told of bytes as they come.
    pub pace: Option<Pace>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            proxy: Proxy::None,
            authority: None,
            proven: false,
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
            told: None,
            pace: None,
        }
    }
}

impl Options {
    /// Returns the pause after so many failed tries in a row.
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
