//! Tunnels through an endpoint to other nodes of its cluster.
//!
//! The endpoint carries bytes only: TLS with the node is ours, from end to end, as with a node that is called directly.

use std::sync::{Arc, Mutex, PoisonError};

use api::v1alpha1::peer_service_client::PeerServiceClient;
use api::v1alpha1::tunnel_request::Request as RequestKind;
use api::v1alpha1::{TunnelRequest, TunnelResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::address::Address;
use crate::connect::{Node, direct};
use crate::explain::Problem;
use crate::session::Session;

/// Tunnels in one connection to an endpoint: a node allows a reader no more calls at a time.
const PER_CONNECTION: usize = 8;
/// Bytes that wait in a tunnel for the other side.
const WAITING: usize = 64 * 1024;
/// Requests that wait for the connection.
const QUEUE: usize = 8;

/// The endpoints that tunnels go through, the first that answers, and the connections there are. Clones share them.
#[derive(Clone)]
pub struct Through {
    endpoints: Arc<[Address]>,
    connections: Arc<tokio::sync::Mutex<Vec<Connection>>>,
}

/// A connection to an endpoint.
struct Connection {
    endpoint: Node,
    /// Each of its tunnels has a clone.
    tunnels: Arc<()>,
}

/// Why a tunnel ended, if its endpoint said why.
#[derive(Debug, Clone)]
pub struct TunnelEnd {
    /// The endpoint.
    pub endpoint: Address,
    said: Arc<Mutex<Option<Status>>>,
}

impl std::fmt::Debug for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Through")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Through {
    /// Goes through the first of these endpoints that answers.
    pub fn new(endpoints: Vec<Address>) -> Self {
        Self {
            endpoints: endpoints.into(),
            connections: Arc::default(),
        }
    }

    /// Returns the endpoints.
    pub fn endpoints(&self) -> &[Address] {
        &self.endpoints
    }

    /// Makes a tunnel to a node.
    pub async fn tunnel(
        &self,
        session: &Session,
        node: &Address,
    ) -> Result<(DuplexStream, TunnelEnd), Problem> {
        if node.port() != api::PORT {
            return Err(Problem::new(format!(
                "{node} cannot be called through an endpoint, only nodes on port {}",
                api::PORT
            )));
        }
        let (endpoint, tunnels) = self.endpoint(session).await?;
        let (sender, requests) = mpsc::channel(QUEUE);
        let named = TunnelRequest {
            request: Some(RequestKind::Node(node.host().to_owned())),
        };
        // It has room for one.
        let _ = sender.try_send(named);
        let requests = futures::stream::unfold(requests, |mut from: mpsc::Receiver<_>| async {
            from.recv().await.map(|request| (request, from))
        });
        let mut service = PeerServiceClient::new(endpoint.channel.clone());
        let responses = match timeout(session.timeout, service.tunnel(requests)).await {
            Ok(Ok(responses)) => responses.into_inner(),
            Ok(Err(status)) => {
                if is_broken(&status) {
                    self.forget(&tunnels).await;
                }
                return Err(refused(&endpoint, node, &status));
            }
            Err(_) => return Err(Problem::timed_out(&endpoint.address, session.timeout)),
        };
        let (near, far) = tokio::io::duplex(WAITING);
        let (read, write) = tokio::io::split(far);
        let end = TunnelEnd {
            endpoint: endpoint.address.clone(),
            said: Arc::default(),
        };
        tokio::spawn(send(read, sender));
        tokio::spawn(receive(responses, write, end.clone(), tunnels));
        Ok((near, end))
    }

    /// Finds a connection with room for a tunnel, or makes one.
    async fn endpoint(&self, session: &Session) -> Result<(Node, Arc<()>), Problem> {
        let mut connections = self.connections.lock().await;
        let free = connections
            .iter()
            .find(|connection| Arc::strong_count(&connection.tunnels) <= PER_CONNECTION);
        if let Some(Connection { endpoint, tunnels }) = free {
            return Ok((endpoint.clone(), tunnels.clone()));
        }
        let mut last = Problem::new("there is no endpoint");
        for address in self.endpoints.iter() {
            match direct(session, address).await {
                Ok(endpoint) => {
                    let tunnels = Arc::new(());
                    connections.push(Connection {
                        endpoint: endpoint.clone(),
                        tunnels: tunnels.clone(),
                    });
                    return Ok((endpoint, tunnels));
                }
                Err(problem) if problem.unreachable => last = problem,
                Err(problem) => return Err(problem),
            }
        }
        Err(last)
    }

    /// Makes no more tunnels in a connection that broke.
    async fn forget(&self, tunnels: &Arc<()>) {
        let mut connections = self.connections.lock().await;
        connections.retain(|connection| !Arc::ptr_eq(&connection.tunnels, tunnels));
    }
}

impl TunnelEnd {
    /// Returns what the endpoint said; none if it said nothing.
    pub fn said(&self) -> Option<Status> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells whether a call failed because its connection did.
fn is_broken(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Explains why an endpoint made no tunnel: by its own connection, or by what is behind it.
fn refused(endpoint: &Node, node: &Address, status: &Status) -> Problem {
    let mut problem = endpoint.problem(status);
    problem.unreachable = status.code() == Code::Unavailable;
    match status.code() {
        _ if is_broken(status) => problem,
        Code::Unimplemented => problem.hint(format!(
            "{} cannot pass calls on: upgrade it, or call {node} directly, without --endpoint",
            endpoint.address
        )),
        _ => problem,
    }
}

async fn send(mut from: ReadHalf<DuplexStream>, to: mpsc::Sender<TunnelRequest>) {
    let mut piece = vec![0; api::MAX_TUNNEL_DATA];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let request = Some(RequestKind::Data(piece[..count].to_vec()));
        if to.send(TunnelRequest { request }).await.is_err() {
            return;
        }
    }
}

async fn receive(
    mut from: Streaming<TunnelResponse>,
    mut to: WriteHalf<DuplexStream>,
    end: TunnelEnd,
    _tunnel: Arc<()>,
) {
    loop {
        match from.message().await {
            Ok(Some(TunnelResponse { data })) => {
                if to.write_all(&data).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(status) => {
                *end.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
                break;
            }
        }
    }
    // The reader sees the end of the connection.
    let _ = to.shutdown().await;
}
