//! Asks the node's own name servers for what is not the cluster's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cluster_zone::Outcome;
use cluster_zone::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode};
use cluster_zone::proto::rr::{Name, RecordType};
use hickory_net::NetError;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::{DnsHandle as _, DnsRequestSender as _, FirstAnswer as _};
use tokio::sync::Semaphore;

use crate::cache::{Cache, Key};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all of them may take together: whoever asks gives up after five seconds.
const DEADLINE: Duration = Duration::from_millis(4500);
/// The most questions that wait for other servers at a time.
const MOST_WAITING: usize = 256;
/// The size of the cache in bytes.
const CACHE: usize = 4 << 20;

/// The way to other name servers.
pub(crate) struct Forwarder {
    servers: RwLock<Vec<SocketAddr>>,
    /// The server that answered last: the first to be asked next.
    best: AtomicUsize,
    cache: Mutex<Cache>,
    waiting: Semaphore,
}

impl Forwarder {
    /// Makes one that knows no servers yet.
    pub(crate) fn new() -> Self {
        Forwarder {
            servers: RwLock::default(),
            best: AtomicUsize::new(0),
            cache: Mutex::new(Cache::new(CACHE)),
            waiting: Semaphore::new(MOST_WAITING),
        }
    }

    /// Changes whom to ask. What others said is forgotten: they may know other names. Tells whether that was a change.
    pub(crate) fn set_servers(&self, servers: Vec<SocketAddr>) -> bool {
        let mut held = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if *held == servers {
            return false;
        }
        *held = servers;
        self.best.store(0, Ordering::Relaxed);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
        true
    }

    /// Returns an answer that is held.
    pub(crate) fn held(&self, name: &Name, kind: RecordType, dnssec: bool) -> Option<Outcome> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(&Key::of(name, kind, dnssec), Instant::now())
    }

    /// Asks. Nobody's answer is a failure, unless an older one is held.
    pub(crate) async fn ask(&self, name: &Name, kind: RecordType, dnssec: bool) -> Outcome {
        if let Some(outcome) = self.held(name, kind, dnssec) {
            return outcome;
        }
        let failed = || Outcome::failure(ResponseCode::ServFail);
        // Whoever asks too much waits for nobody, and asks again.
        let Ok(_place) = self.waiting.try_acquire() else {
            return failed();
        };
        let query = Query::query(name.clone(), kind);
        let asked = tokio::time::timeout(DEADLINE, self.ask_all(&query, dnssec)).await;
        let key = Key::of(name, kind, dnssec);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.ok().flatten() {
            Some(outcome) => {
                cache.put(key, &outcome, Instant::now());
                outcome
            }
            None => cache.get_stale(&key, Instant::now()).unwrap_or_else(failed),
        }
    }

    /// Asks one after the other, until one has an answer.
    async fn ask_all(&self, query: &Query, dnssec: bool) -> Option<Outcome> {
        let servers = self
            .servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let best = self.best.load(Ordering::Relaxed);
        for step in 0..servers.len() {
            let at = (best + step) % servers.len();
            let answer = match exchange(servers[at], query, dnssec).await {
                Ok(answer) => answer.into_message(),
                Err(_) => continue,
            };
            // What one server cannot or does not want to say another one may.
            let said = matches!(
                answer.metadata.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            );
            if said {
                self.best.store(at, Ordering::Relaxed);
                return Some(Outcome {
                    code: answer.metadata.response_code,
                    authoritative: false,
                    answers: answer.answers,
                    authorities: answer.authorities,
                    additionals: answer.additionals,
                });
            }
        }
        None
    }
}

/// Asks one server: by a packet, and by a connection where the answer does not fit.
async fn exchange(server: SocketAddr, query: &Query, dnssec: bool) -> Result<DnsResponse, NetError> {
    let mut options = DnsRequestOptions::default();
    options.use_edns = true;
    options.edns_set_dnssec_ok = dnssec;
    options.recursion_desired = true;
    let request = || DnsRequest::from_query(query.clone(), options);
    let provider = TokioRuntimeProvider::new();
    let mut packets = UdpClientStream::builder(server, provider.clone())
        .with_timeout(Some(PATIENCE))
        .build();
    let answer = packets.send_message(request()).first_answer().await?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let connection = TcpClientStream::exchange(server, None, PATIENCE, None, provider).await?;
    connection.send(request()).first_answer().await
}
