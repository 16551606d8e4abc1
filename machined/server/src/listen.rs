//! Accepts connections and performs their handshakes, with the certificate that the node has at the time.
//!
//! Every connection is accepted at once, so that none waits behind an idle one; those beyond a limit are closed, by the rules
//! of [`crate::limits`]. A connection has three limits in turn: until its first bytes, when it costs a socket; during the
//! handshake, when it costs a few buffers; and then that of its [`Class`](super::class::Class).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use backend::peer::{Identity, Peer};
use pki::{Details, Mode, ServerTls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Connections;
use crate::limits::{Bounds, Limiter, Source};

/// Limit of connections that have not sent anything yet.
const SILENT: Bounds = Bounds { all: 256, each: 32 };
/// Time limit of the first bytes: a client speaks first, and at once.
const SILENCE: Duration = Duration::from_secs(2);
/// Limit of concurrent handshakes.
const HANDSHAKES: Bounds = Bounds { all: 24, each: 12 };
/// Time limit of a handshake: enough for a Pi on a bad link, not for a byte at a time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Time that a refused peer has to read the reason, and bytes that are read from it in the meantime.
const CLOSE_TIME: Duration = Duration::from_secs(1);
const CLOSE_BYTES: usize = 16 * 1024;
/// Connections that the kernel keeps until they are accepted. Were it full, others would wait for a second and more.
const QUEUE: u32 = 4096;
/// Pause after the system could not accept a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Listens on a port, on every address of both families where the kernel has both.
pub fn bind(port: u16) -> io::Result<TcpListener> {
    match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
        Ok(listener) => Ok(listener),
        Err(_) => listen((Ipv4Addr::UNSPECIFIED, port).into()),
    }
}

/// Listens on an address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As after a restart: connections of the server before may still be remembered.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Accepts connections. Clones share the limits.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: Arc<ServerTls>,
    connections: Connections,
    silent: Limiter<Source>,
    handshakes: Limiter<Source>,
}

impl Acceptor {
    /// Accepts clients with a certificate that `tls` requires.
    pub(super) fn new(tls: Arc<ServerTls>, connections: Connections) -> Self {
        Self {
            tls,
            connections,
            silent: Limiter::new(SILENT),
            handshakes: Limiter::new(HANDSHAKES),
        }
    }

    /// Accepts for as long as it is polled; what was accepted lives on in tasks of its own.
    pub(super) async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let acceptor = self.clone();
                    let source = Source::from(address.ip());
                    let place = self.silent.enter(source);
                    self.connections.track(async move {
                        let readable = tokio::select! {
                            // Cancel safe: asks only for a state.
                            () = place.lost() => return,
                            // Cancel safe: asks only for a state.
                            () = acceptor.connections.stopping() => return,
                            // Cancel safe: nothing is read.
                            readable = timeout(SILENCE, stream.readable()) => readable,
                        };
                        drop(place);
                        if let Ok(Ok(())) = readable {
                            // Boxed, so that those who keep silent cost no more than this.
                            Box::pin(acceptor.handshake(stream, address, source)).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept an API connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn handshake(&self, stream: TcpStream, address: SocketAddr, source: Source) {
        let place = self.handshakes.enter(source);
        let accepted = tokio::select! {
            // Cancel safe: asks only for a state.
            () = place.lost() => return,
            // Cancel safe: asks only for a state.
            () = self.connections.stopping() => return,
            // Not cancel safe, and need not be: what has lost its place is closed.
            accepted = timeout(HANDSHAKE_TIME, accept_tls(stream, address, &self.tls)) => accepted,
        };
        drop(place);
        match accepted {
            Ok(Ok((stream, peer))) => Box::pin(self.connections.serve(stream, peer)).await,
            Ok(Err(error)) => tracing::debug!("no API connection with {address}: {error}"),
            Err(_) => tracing::debug!("no API connection with {address}: the handshake took too long"),
        }
    }
}

async fn accept_tls(
    stream: TcpStream,
    address: SocketAddr,
    tls: &ServerTls,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    let serving = tls
        .current()
        .ok_or_else(|| io::Error::other("the node has no certificate yet"))?;
    stream.set_nodelay(true)?;
    let handshake = TlsAcceptor::from(serving.config.clone())
        .accept(stream)
        .into_fallible();
    let stream = match handshake.await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            close(stream).await;
            return Err(error);
        }
    };
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default();
    let identity = chain
        .first()
        .and_then(|der| Details::read(der))
        .map(|details| Identity::of(&details));
    if serving.mode == Mode::Mutual && identity.is_none() {
        return Err(io::Error::other("the client certificate cannot be read"));
    }
    // Whoever may stay unknown stays as long as the authority that the node itself is known by.
    let trust = serving.trust.as_ref().and_then(|trust| match chain {
        [] => trust.first(),
        chain => trust.voucher(chain),
    });
    if serving.mode == Mode::Mutual && trust.is_none() {
        return Err(io::Error::other(
            "nobody who is accepted vouches for the client certificate",
        ));
    }
    let peer = Peer {
        trust,
        identity,
        address: Some(address),
    };
    Ok((stream, peer))
}

/// Ends a connection so that the other side gets to read why: what it has sent already is taken off the line, for
/// otherwise the kernel answers it with a reset, and throws our alert away on the other side.
async fn close(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        let mut left = CLOSE_BYTES;
        while left > 0 {
            match stream.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<(), io::Error>(())
    };
    // Whoever does not take the answer does not get it.
    let _ = timeout(CLOSE_TIME, drain).await;
}
