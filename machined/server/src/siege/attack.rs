//! The attackers.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hyper_util::rt::TokioIo;
use pki::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::Service as _;

use crate::pieces::Pieces;

/// Pause before an attacker who was thrown out comes again.
const AGAIN: Duration = Duration::from_secs(1);
/// Calls that an attacker tries to have on one connection.
const CALLS: usize = 32;
/// What is called, and how long the message is said to be: the last one is allowed, and its end never comes.
const TARGETS: [(&str, usize); 4] = [
    ("/grpc.health.v1.Health/Check", 3_900_000),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        3_900_000,
    ),
    ("/bedplate.v1alpha1.MachineService/Status", 3_900_000),
    ("/bedplate.v1alpha1.MachineService/ApplyConfig", 1024 * 1024),
];

async fn dial(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Connects, and does nothing more.
pub(crate) async fn shake_hands(to: SocketAddr, client: &Client) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    let connector = TlsConnector::from(client.config.clone());
    connector.connect(ServerName::from(to.ip()), stream).await
}

/// Reads what the node says, and returns whether it has ended the connection.
pub(crate) async fn ends(stream: &mut TlsStream<TcpStream>) -> bool {
    let end = async { while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_secs(1), end).await.is_ok()
}

/// Runs attackers on a thread of their own, so that they are not in the way of whoever is to be answered meanwhile.
struct Attackers(Option<Runtime>);

impl Default for Attackers {
    fn default() -> Self {
        let mut runtime = runtime::Builder::new_multi_thread();
        Self(Some(runtime.worker_threads(1).enable_all().build().unwrap()))
    }
}

impl Attackers {
    fn spawn(&self, attacker: impl Future<Output = ()> + Send + 'static) {
        let runtime = self.0.as_ref().unwrap();
        runtime.spawn(attacker);
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Connections full of calls whose bodies never end. They end when dropped.
pub(super) struct Flood {
    _attackers: Attackers,
}

impl Flood {
    /// Keeps that many connections from each address.
    pub(super) fn start(to: SocketAddr, client: &Client, from: &[Ipv4Addr], each: usize) -> Self {
        let attackers = Attackers::default();
        for address in from {
            for _ in 0..each {
                attackers.spawn(flood(to, *address, client.clone()));
            }
        }
        Self {
            _attackers: attackers,
        }
    }
}

async fn flood(to: SocketAddr, from: Ipv4Addr, client: Client) {
    loop {
        if let Ok(channel) = connect_from(to, from, &client).await {
            let calls = (0..CALLS).map(|number| {
                let (path, length) = TARGETS[number % TARGETS.len()];
                let mut channel = channel.clone();
                let request = http::Request::post(format!("http://node{path}"))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(Body::new(endless(length)))
                    .unwrap();
                async move {
                    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
                    let answer = channel.call(request).await?;
                    drop(answer);
                    Ok::<_, tonic::transport::Error>(())
                }
            });
            let _ = tokio::time::timeout(Duration::from_secs(2), join_all(calls)).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn connect_from(
    to: SocketAddr,
    from: Ipv4Addr,
    client: &Client,
) -> Result<Channel, tonic::transport::Error> {
    let connector = TlsConnector::from(client.config.clone());
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = dial(from, to).await?;
            let stream = connector.connect(ServerName::from(to.ip()), stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://node")
        .connect_with_connector(dial)
        .await
}

/// Returns a body with one message, of which the last byte never comes.
fn endless(length: usize) -> Pieces {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let prefix = u32::try_from(length).unwrap().to_be_bytes();
    let mut pieces = VecDeque::from([Bytes::from([&[0], prefix.as_slice()].concat())]);
    let mut left = length - 1;
    while left > 0 {
        let piece = left.min(ZEROS.len());
        pieces.push_back(Bytes::from_static(&ZEROS[..piece]));
        left -= piece;
    }
    Pieces(pieces)
}

/// What a squatter says.
#[derive(Debug, Clone, Copy)]
enum Says {
    Nothing,
    /// One byte now and then.
    Little,
    /// Nearly all of the longest message that a handshake may have.
    Much,
}

/// Sockets that say nothing, one byte now and then, or much that leads nowhere. They close when dropped.
#[derive(Default)]
pub(super) struct Squatters {
    attackers: Attackers,
}

impl Squatters {
    /// Keeps that many sockets from an address, of each sort as many.
    pub(super) fn add(&mut self, to: SocketAddr, from: Ipv4Addr, count: usize) {
        for number in 0..count {
            let says = [Says::Nothing, Says::Little, Says::Much][number % 3];
            self.attackers.spawn(squat(to, from, says));
        }
    }
}

async fn squat(to: SocketAddr, from: Ipv4Addr, says: Says) {
    loop {
        if let Ok(stream) = dial(from, to).await {
            let _ = sit(stream, says).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Sits on a socket until the other side ends it.
async fn sit(mut stream: TcpStream, says: Says) -> io::Result<()> {
    match says {
        Says::Nothing => {}
        Says::Little => {
            // The beginning of a handshake of 512 bytes.
            let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];
            for byte in hello.into_iter().chain(std::iter::repeat_n(0, 500)) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        Says::Much => {
            // Records of 16 KiB, the first of which begins a hello of 65,535 bytes.
            let mut record = vec![0; 5 + 0x4000];
            record[..5].copy_from_slice(&[0x16, 0x03, 0x01, 0x40, 0x00]);
            let mut first = record.clone();
            first[5..9].copy_from_slice(&[0x01, 0x00, 0xff, 0xff]);
            stream.write_all(&first).await?;
            for _ in 0..2 {
                stream.write_all(&record).await?;
            }
        }
    }
    stream.read(&mut [0; 64]).await.map(drop)
}
