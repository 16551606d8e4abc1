//! Serves connections after their handshake, each within the limits of its class.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend::grant::Grant;
use backend::peer::Peer;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pki::{NodeClock, ServerTls};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service as _;

use super::class::{Class, Holder};
use super::door::Calls;
use crate::limits::Limiter;

/// Interval of keep-alive pings on an idle connection, and time limit of the answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Size limit of the headers of a request, in bytes.
const HEADERS: u32 = 8 * 1024;
/// Size of the send buffer of one call, in bytes.
const ANSWERS: usize = 64 * 1024;
/// Shortest interval at which memory is given back.
const TIDY: Duration = Duration::from_secs(10);
/// Time that a connection stays open after its rights have ended, so that its calls receive the reason.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// All connections. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    calls: Calls,
    tls: Arc<ServerTls>,
    clock: Arc<NodeClock>,
    places: [Limiter<Holder>; Class::ALL.len()],
    tasks: TaskTracker,
    /// The node is stopping: no more calls.
    stop: CancellationToken,
    /// A connection has ended since memory was given back.
    ended: AtomicBool,
    /// The time limit of the last calls is over.
    cut: CancellationToken,
}

impl Connections {
    /// Starts with none; requests go to `calls`.
    pub(super) fn new(calls: Calls, tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        let places = Class::ALL.map(|class| Limiter::new(class.cost().connections));
        Self {
            shared: Arc::new(Shared {
                calls,
                tls,
                clock,
                places,
                tasks: TaskTracker::new(),
                ended: AtomicBool::new(false),
                stop: CancellationToken::new(),
                cut: CancellationToken::new(),
            }),
        }
    }

    /// Returns what cuts all connections when it is dropped.
    pub(super) fn cut_guard(&self) -> DropGuard {
        self.shared.cut.clone().drop_guard()
    }

    /// Waits until the node stops.
    ///
    /// Cancel safe.
    pub(super) async fn stopping(&self) {
        self.shared.stop.cancelled().await;
    }

    /// Runs what belongs to a connection, until it ends or all connections are cut.
    pub(super) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                // Cancel safe: asks only for a state.
                () = shared.cut.cancelled() => {}
                // Not cancel safe, and need not be: the node stops.
                () = task => {}
            }
            shared.ended.store(true, Ordering::Relaxed);
        });
    }

    /// Serves a connection until it ends, its place is lost, or its rights are over.
    pub(super) async fn serve(&self, stream: TlsStream<TcpStream>, peer: Peer) {
        let shared = &self.shared;
        let class = Class::of(&peer);
        let place = shared.places[class.index()].enter(Holder::of(&peer));
        let who = peer.who();
        let grant = Grant::of(&peer, shared.tls.clone(), shared.clock.clone());
        let cost = class.cost();
        let calls = shared.calls.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            calls.clone().call(request.map(Body::new))
        });
        let (interval, patience) = KEEPALIVE;
        let (stream_window, connection_window) = cost.windows;
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(cost.calls)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_header_list_size(HEADERS)
            .max_send_buf_size(ANSWERS)
            .keep_alive_interval(interval)
            .keep_alive_timeout(patience)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let over = async {
            grant.revoked().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let mut over = std::pin::pin!(over);
        let mut stopping = false;
        loop {
            tokio::select! {
                // Cancel safe: polled where it stands, like all that are pinned.
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!("the API connection of {who} broke: {error}");
                    }
                    return;
                }
                // Cancel safe: asks only for a state.
                () = place.lost() => {
                    tracing::debug!("closed the API connection of {who}: the limit of connections was reached");
                    return;
                }
                // Cancel safe.
                () = &mut over => return,
                // Cancel safe: asks only for a state.
                () = shared.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Gives memory back now and then, when connections have ended, for as long as it is polled: what a busy hour took
    /// would otherwise stay with this process.
    pub(super) async fn tidy(&self) {
        loop {
            tokio::time::sleep(TIDY).await;
            if self.shared.ended.swap(false, Ordering::Relaxed) {
                // It may fail only by being cancelled: the node stops.
                let _ = tokio::task::spawn_blocking(sys::memory::give_back).await;
            }
        }
    }

    /// Ends all connections: their calls have that long, and no new ones begin.
    pub(super) async fn end(&self, patience: Duration) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        // What is still there then is cut.
        let _ = tokio::time::timeout(patience, self.shared.tasks.wait()).await;
        self.shared.cut.cancel();
    }
}
