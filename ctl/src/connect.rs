//! Connections to nodes.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::address::Address;
use crate::explain::Problem;
use crate::recording::{FirstTlsError, RecordingStream};
use crate::session::Session;
use crate::tunnel::TunnelEnd;

/// Time limit of the TCP connection: a host that is off does not answer at all.
const DIAL_TIME: Duration = Duration::from_secs(5);
/// Largest response that is accepted: a long list of processes or resources.
pub const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// A connection to a node, with what is needed to explain its failures.
#[derive(Clone)]
pub struct Node {
    /// The node's address.
    pub address: Address,
    /// The gRPC channel.
    pub channel: Channel,
    client: pki::Client,
    note: FirstTlsError,
    tunnel: Option<TunnelEnd>,
}

/// Connects to a node and performs the TLS handshake, through an endpoint where the session has one.
///
/// In TLS 1.3 a node refuses a client certificate only after the handshake: the first call then fails, and
/// [`Node::problem`] explains it.
pub async fn connect(session: &Session, address: &Address) -> Result<Node, Problem> {
    let Some(through) = &session.through else {
        return direct(session, address).await;
    };
    let (stream, end) = through.tunnel(session, address).await?;
    let said = end.clone();
    over(session, address, stream, Some(end))
        .await
        .map_err(|problem| behind(&said, problem))
}

/// Connects to a node over the network, whatever the session has.
pub async fn direct(session: &Session, address: &Address) -> Result<Node, Problem> {
    let patience = DIAL_TIME.min(session.timeout);
    let dial = TcpStream::connect((address.host().to_owned(), address.port()));
    let stream = match timeout(patience, dial).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Problem::unreachable(address, &error)),
        Err(_) => return Err(Problem::unreachable(address, &io::ErrorKind::TimedOut.into())),
    };
    // A piece of a pushed bundle ends in a small packet: held back, each would wait for the node's delayed answer. A
    // connection that refuses that works all the same.
    let _ = stream.set_nodelay(true);
    over(session, address, stream, None).await
}

/// Performs the handshake over a connection, and gives it to gRPC.
async fn over<S>(
    session: &Session,
    address: &Address,
    stream: S,
    tunnel: Option<TunnelEnd>,
) -> Result<Node, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = session
        .client()
        .map_err(|error| Problem::new(crate::ui::chain(&error)))?;
    let connector = TlsConnector::from(client.config.clone());
    let handshake = connector.connect(address.server_name(), stream);
    let stream = match timeout(session.timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Problem::handshake(address, &error, client.seen().as_ref())),
        Err(_) => return Err(Problem::timed_out(address, session.timeout)),
    };
    // One connection, made already: gRPC does not dial again behind our back.
    let (stream, note) = RecordingStream::new(stream);
    let mut stream = Some(TokioIo::new(stream));
    let take = tower::service_fn(move |_: http::Uri| {
        let stream = stream
            .take()
            .ok_or_else(|| io::Error::other("the connection was lost"));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://node").http2_keep_alive_interval(Duration::from_secs(20));
    let channel = endpoint.connect_with_connector(take).await;
    let channel = channel.map_err(|error| match note.get() {
        Some(refused) => Problem::tls(address, &refused, client.seen().as_ref()),
        None => Problem::broken(address, &error, client.seen().as_ref()),
    })?;
    Ok(Node {
        address: address.clone(),
        channel,
        client,
        note,
        tunnel,
    })
}

/// Explains a problem with a node behind an endpoint: what the endpoint said is the reason, if it said anything.
fn behind(end: &TunnelEnd, problem: Problem) -> Problem {
    match end.said() {
        Some(status) => Problem::status(&end.endpoint, &status, None),
        None => problem.through(&end.endpoint),
    }
}

impl Node {
    /// Returns the certificate that the node showed in the handshake.
    pub fn certificate(&self) -> Option<pki::Certificate> {
        self.client.seen()
    }

    /// Explains why a call failed.
    pub fn problem(&self, status: &tonic::Status) -> Problem {
        let seen = self.client.seen();
        let problem = match self.note.get() {
            Some(refused) => Problem::tls(&self.address, &refused, seen.as_ref()),
            None => Problem::status(&self.address, status, seen.as_ref()),
        };
        match &self.tunnel {
            Some(end) => behind(end, problem),
            None => problem,
        }
    }
}
