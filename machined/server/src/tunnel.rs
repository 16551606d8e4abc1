//! Tunnels to other nodes of the cluster.
//!
//! A tunnel carries bytes, and understands none of them: the caller's TLS connection ends at the other node, which checks
//! the caller's own certificate. So nobody speaks for anybody here, and nothing that a caller says about itself is believed.
//!
//! A tunnel is no way into a network: before it is made, the other end must prove in a handshake of its own that it has a
//! certificate of this cluster. A node in maintenance mode, which anybody may configure, has none.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::tunnel_request::Request as RequestKind;
use api::v1alpha1::{TunnelRequest, TunnelResponse};
use backend::Caller;
use futures::Stream;
use pki::{Client, NodeClock, ServerTls};
use quantity::human_time;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::{Status, Streaming};

use super::class::{Class, Holder};
use crate::limits::{Bounds, Limiter, Ticket};

/// Tunnels of a class at a time; each costs some forty kilobytes and a socket.
const TUNNELS: Bounds = Bounds { all: 48, each: 32 };
/// Addresses of one node that are tried.
const MAX_ADDRESSES: usize = 4;
/// Time limit of a connection, and of the proof.
const DIAL_TIME: Duration = Duration::from_secs(3);
/// Time limit until the other end must say something: it asks every half minute whether the caller is still there.
const SILENCE: Duration = Duration::from_secs(120);
/// Largest piece in one response, in bytes.
const PIECE: usize = 16 * 1024;

/// Makes tunnels, within limits. Clones share them.
#[derive(Clone)]
pub(super) struct Tunnels {
    tls: Arc<ServerTls>,
    clock: Arc<NodeClock>,
    places: Arc<[Limiter<Holder>; Class::ALL.len()]>,
}

/// The responses of a tunnel.
pub(super) type Carried = Pin<Box<dyn Stream<Item = Result<TunnelResponse, Status>> + Send>>;

impl Tunnels {
    /// Starts with none. Other nodes prove themselves by the authorities in `tls`.
    pub(super) fn new(tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        let places = Class::ALL.map(|_| Limiter::new(TUNNELS));
        Self {
            tls,
            clock,
            places: Arc::new(places),
        }
    }

    /// Takes a place for a tunnel of this caller.
    pub(super) fn enter(&self, caller: &Caller) -> Ticket<Holder> {
        let holder = caller
            .identity
            .as_ref()
            .map_or(Holder::Nobody, |identity| Holder::Name(identity.name.clone()));
        self.places[Class::of_role(caller.role).index()].enter(holder)
    }

    /// Connects to the first of the addresses where a node of the cluster is.
    ///
    /// # Errors
    ///
    /// The reason for the last address.
    pub(super) async fn open(&self, node: &str, addresses: &[SocketAddr]) -> Result<TcpStream, Status> {
        let mut last = Status::unavailable(format!("{node:?} has no address"));
        for address in addresses.iter().take(MAX_ADDRESSES) {
            match self.prove(node, *address).await {
                Ok(()) => match dial(*address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = unreachable(node, *address, &error),
                },
                Err(status) => last = status,
            }
        }
        Err(last)
    }

    /// Makes a connection to see who is there, and ends it.
    async fn prove(&self, node: &str, address: SocketAddr) -> Result<(), Status> {
        let serving = self.tls.current();
        let trust = serving.as_ref().and_then(|serving| serving.trust.as_ref());
        let trust = trust.ok_or_else(|| Status::failed_precondition("this node has no cluster"))?;
        let client = Client::proving(trust, self.clock.clone())
            .map_err(|error| Status::internal(state::chain(&error)))?;
        let stream = dial(address)
            .await
            .map_err(|error| unreachable(node, address, &error))?;
        let connector = TlsConnector::from(client.config.clone());
        let handshake = connector.connect(ServerName::from(address.ip()), stream);
        match timeout(DIAL_TIME, handshake).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Status::failed_precondition(format!(
                "{address} does not prove that it is {node:?} of this cluster: {}; a node in maintenance mode, or a worker \
                 that has not joined, is called directly",
                state::chain(&error)
            ))),
            Err(_) => Err(unreachable(node, address, &io::ErrorKind::TimedOut.into())),
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(DIAL_TIME, TcpStream::connect(address));
    let stream = stream
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn unreachable(node: &str, address: SocketAddr, error: &io::Error) -> Status {
    Status::unavailable(format!("cannot reach {node:?} at {address} from here: {error}"))
}

/// Carries bytes both ways until one end closes, nothing comes from the node for too long, or the place is lost.
pub(super) fn carry(stream: TcpStream, requests: Streaming<TunnelRequest>, place: Ticket<Holder>) -> Carried {
    let (down, up) = stream.into_split();
    let carry = Carry {
        down,
        up: Some(Box::pin(send(requests, up))),
        piece: vec![0; PIECE],
        place,
        ended: false,
    };
    Box::pin(futures::stream::unfold(carry, |mut carry| async {
        let answer = carry.next().await?;
        Some((answer, carry))
    }))
}

/// Ends when the caller has closed its side.
type Sending = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// A tunnel in use.
struct Carry {
    down: OwnedReadHalf,
    /// What sends the caller's bytes; none once the caller has closed its side.
    up: Option<Sending>,
    piece: Vec<u8>,
    place: Ticket<Holder>,
    ended: bool,
}

impl Carry {
    async fn next(&mut self) -> Option<Result<TunnelResponse, Status>> {
        if self.ended {
            return None;
        }
        let answer = self.step().await;
        self.ended = answer.is_err();
        answer.transpose()
    }

    async fn step(&mut self) -> Result<Option<TunnelResponse>, Status> {
        let silence = tokio::time::sleep(SILENCE);
        let mut silence = std::pin::pin!(silence);
        loop {
            tokio::select! {
                // Cancel safe: asks only for a state.
                () = self.place.lost() => {
                    return Err(Status::resource_exhausted("the limit of tunnels through this node was reached; the oldest is closed"));
                }
                // Cancel safe: nothing is read then.
                read = self.down.read(&mut self.piece) => return match read {
                    Ok(0) => Ok(None),
                    Ok(count) => Ok(Some(TunnelResponse { data: self.piece[..count].to_vec() })),
                    Err(error) => Err(Status::unavailable(format!("the connection to the node broke: {error}"))),
                },
                // Cancel safe: it is polled where it stands.
                sent = sending(&mut self.up) => {
                    self.up = None;
                    sent?;
                }
                // Cancel safe: only a pause.
                () = &mut silence => {
                    let time = human_time(SILENCE);
                    return Err(Status::unavailable(format!("nothing came from the node for {time}")));
                }
            }
        }
    }
}

async fn sending(up: &mut Option<Sending>) -> Result<(), Status> {
    match up {
        Some(up) => up.await,
        None => std::future::pending().await,
    }
}

/// Sends the caller's bytes to the node until the caller closes its side.
async fn send(mut requests: Streaming<TunnelRequest>, mut up: OwnedWriteHalf) -> Result<(), Status> {
    while let Some(TunnelRequest { request }) = requests.message().await? {
        let Some(RequestKind::Data(data)) = request else {
            return Err(Status::invalid_argument(
                "only data may follow the name of the node",
            ));
        };
        if data.len() > api::MAX_TUNNEL_DATA {
            let text = format!("a piece may have {} bytes", api::MAX_TUNNEL_DATA);
            return Err(Status::invalid_argument(text));
        }
        up.write_all(&data)
            .await
            .map_err(|error| Status::unavailable(format!("the connection to the node broke: {error}")))?;
    }
    // An end that does not take it is gone anyway.
    let _ = up.shutdown().await;
    Ok(())
}
