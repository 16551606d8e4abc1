//! Accepts connections and shakes hands, with whatever certificate the node has at that moment.
//!
//! Everybody is let in at once, so that nobody waits behind somebody who does nothing; what is too much leaves again,
//! by the rules of [`crate::limits`]. A connection passes three kinds of places: until its first bytes, which costs a
//! socket; while hands are shaken, which costs a few buffers; and then those of its [`Class`](super::class::Class).

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

/// Connections that have not said anything yet.
const SILENT: Bounds = Bounds { all: 256, each: 32 };
/// How long they may keep silent: a client speaks first, and at once.
const SILENCE: Duration = Duration::from_secs(2);
/// Handshakes at a time.
const HANDSHAKES: Bounds = Bounds { all: 24, each: 12 };
/// How long a handshake may take in all: a Pi on a bad line, not a byte at a time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// How long a refused peer may take to read why, and how much of what it says is passed over meanwhile.
const PARTING_TIME: Duration = Duration::from_secs(1);
const PARTING_BYTES: usize = 16 * 1024;
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
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As after a restart: connections of the server before may still be remembered.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Where connections come in. Clones share the places.
#[derive(Clone)]
pub(super) struct Door {
    tls: Arc<ServerTls>,
    connections: Connections,
    silent: Limiter<Source>,
    handshakes: Limiter<Source>,
}

impl Door {
    /// Lets in whoever holds a certificate that `tls` asks for.
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
                    let door = self.clone();
                    let source = Source::from(address.ip());
                    let place = self.silent.enter(source);
                    self.connections.track(async move {
                        let spoken = tokio::select! {
                            // Cancel safe: asks only for a state.
                            () = place.lost() => return,
                            // Cancel safe: asks only for a state.
                            () = door.connections.stopping() => return,
                            // Cancel safe: nothing is read.
                            spoken = timeout(SILENCE, stream.readable()) => spoken,
                        };
                        drop(place);
                        if let Ok(Ok(())) = spoken {
                            // Boxed, so that those who keep silent cost no more than this.
                            Box::pin(door.greet(stream, address, source)).await;
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

    async fn greet(&self, stream: TcpStream, address: SocketAddr, source: Source) {
        let place = self.handshakes.enter(source);
        let shaken = tokio::select! {
            // Cancel safe: asks only for a state.
            () = place.lost() => return,
            // Cancel safe: asks only for a state.
            () = self.connections.stopping() => return,
            // Not cancel safe, and need not be: what has lost its place is closed.
            shaken = timeout(HANDSHAKE_TIME, shake_hands(stream, address, &self.tls)) => shaken,
        };
        drop(place);
        match shaken {
            Ok(Ok((stream, peer))) => Box::pin(self.connections.serve(stream, peer)).await,
            Ok(Err(error)) => tracing::debug!("no API connection with {address}: {error}"),
            Err(_) => tracing::debug!("no API connection with {address}: the handshake took too long"),
        }
    }
}

async fn shake_hands(
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
            part(stream).await;
            return Err(error);
        }
    };
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let identity = certificate
        .and_then(|der| Details::read(der))
        .map(|details| Identity::of(&details));
    if serving.mode == Mode::Mutual && identity.is_none() {
        return Err(io::Error::other("the client certificate cannot be read"));
    }
    let peer = Peer {
        trust: serving.trust,
        identity,
        address: Some(address),
    };
    Ok((stream, peer))
}

/// Ends a connection so that the other side gets to read why: what it has sent already is taken off the line, for
/// otherwise the kernel answers it with a reset, and throws our alert away on the other side.
async fn part(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        let mut left = PARTING_BYTES;
        while left > 0 {
            match stream.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<(), io::Error>(())
    };
    // Whoever does not take the answer does not get it.
    let _ = timeout(PARTING_TIME, drain).await;
}
