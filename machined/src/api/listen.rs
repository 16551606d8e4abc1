//! Accepts connections and shakes hands, with whatever certificate the node has at that moment.
//!
//! Handshakes run beside each other and have a time limit; connections are counted. A stranger can cost the node a
//! few handshakes, and nothing else.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use pki::{Details, Mode, ServerTls};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::peer::{Identity, Peer};

/// Connections at a time. Each costs some forty kilobytes.
const CONNECTIONS: usize = 64;
/// Handshakes at a time.
const HANDSHAKES: usize = 16;
/// How long a handshake may take: a Pi on a bad line, not an idle stranger.
const HANDSHAKE_TIME: Duration = Duration::from_secs(8);
/// How long a refused peer may take to read why, and how much of what it says is passed over meanwhile.
const PARTING_TIME: Duration = Duration::from_secs(1);
const PARTING_BYTES: usize = 16 * 1024;
/// Pause after the system could not accept a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Listens on a port, on every address of both families where the kernel has both.
pub async fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

/// An encrypted connection whose handshake is done.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// Ends when the node stops: a watch would go on for ever.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

/// Yields connections for as long as it is polled, and stops listening when dropped. `cut` ends them all.
pub fn connections(
    listener: TcpListener,
    tls: Arc<ServerTls>,
    cut: CancellationToken,
) -> impl Stream<Item = Result<Connection, Infallible>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(accept(listener, tls, cut, sender));
    futures::stream::unfold(receiver, |mut receiver| async move {
        let connection = receiver.recv().await?;
        Some((Ok(connection), receiver))
    })
}

async fn accept(
    listener: TcpListener,
    tls: Arc<ServerTls>,
    cut: CancellationToken,
    sender: mpsc::Sender<Connection>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // Waits here, and not after accepting, so that a flood stays in the kernel's queue.
        let Ok(handshake) = handshakes.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            // Cancel safe: asks only for a state.
            () = sender.closed() => return,
            // Cancel safe: a connection that was not taken stays in the kernel's queue.
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept an API connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            tracing::warn!("refused an API connection from {address}: {CONNECTIONS} are open already");
            continue;
        };
        let (tls, cut, sender) = (tls.clone(), cut.clone(), sender.clone());
        tokio::spawn(async move {
            let shaken = timeout(HANDSHAKE_TIME, shake_hands(stream, address, &tls)).await;
            drop(handshake);
            match shaken {
                Ok(Ok((stream, peer))) => {
                    let connection = Connection {
                        stream,
                        peer,
                        cut: Box::pin(cut.cancelled_owned()),
                        _permit: permit,
                    };
                    // Without a receiver the node is stopping.
                    drop(sender.send(connection).await);
                }
                Ok(Err(error)) => tracing::debug!("no API connection with {address}: {error}"),
                Err(_) => tracing::debug!("no API connection with {address}: the handshake took too long"),
            }
        });
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

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
