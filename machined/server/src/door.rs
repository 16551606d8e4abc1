//! The way from a listener to a service: connections, handshakes and requests within their limits.
//!
//! The API comes through it, and whatever else of the node serves the network: the limits are the same for all, and each
//! door has its own places.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use pki::{NodeClock, ServerTls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;
use tower::util::BoxCloneSyncService;

use super::connection::Connections;
use super::listen::Acceptor;
use super::request::{Metered, small};

/// Time that calls in progress have when the node stops: a watch would never end.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// What answers the calls of a door. Each request has its [`Peer`](backend::peer::Peer) among its extensions.
pub(super) type Calls = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// Serves on a listener until `stop`, then gives calls in progress a moment to end. `tls` may change meanwhile; without
/// settings, connections are closed at once.
pub async fn serve<S>(
    calls: S,
    tls: Arc<ServerTls>,
    clock: Arc<NodeClock>,
    listener: TcpListener,
    stop: CancellationToken,
) where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let connections = Connections::new(Calls::new(calls), tls.clone(), clock);
    // However this ends: no connection outlives it.
    let _cut = connections.cut_guard();
    let acceptor = Acceptor::new(tls, connections.clone());
    tokio::select! {
        // Cancel safe: asks for a state.
        () = stop.cancelled() => {}
        // Cancel safe: a connection that was not taken stays in the kernel's queue.
        () = acceptor.accept(&listener) => {}
        // Cancel safe: what is not given back now is later.
        () = connections.tidy() => {}
    }
    drop(listener);
    connections.end(LAST_CALLS).await;
}

/// Holds the body of a request to a size limit of its messages, in bytes, and to the time limit of small requests. Messages
/// beyond some kilobytes are refused, whatever the limit: callers without a certificate have no room for more.
pub fn metered(request: http::Request<Body>, largest: usize) -> http::Request<Body> {
    request.map(|body| Body::new(Metered::new(body, small(largest), Default::default())))
}
