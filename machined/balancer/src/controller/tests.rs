//! Real connections over the loopback interface, to servers that a test makes ready, not ready, or stops.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use pki::{Authority, NodeClock};
use state::Runtime;
use state::kinds::ServerHealth;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::servers::tests::member;

/// The host may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// An API server, as far as the balancer knows one: it answers about its health, and echoes everything else with its number.
struct Server {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(number: u8, authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let validity = NodeClock::trusting().plan(SystemTime::now());
        let names = ["kubernetes.default.svc".to_owned()];
        let issued = authority
            .issue_server("kube-apiserver", &names, validity)
            .unwrap();
        let chain = CertificateDer::pem_slice_iter(issued.pem.as_bytes()).map(Result::unwrap);
        let key = PrivateKeyDer::from_pem_slice(issued.key.to_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (address, status) = (listener.local_addr().unwrap(), Arc::new(AtomicU16::new(200)));
        let answered = status.clone();
        let task = tokio::spawn(async move {
            // Dropped with the task: then every connection breaks at once.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let (acceptor, status) = (acceptor.clone(), answered.clone());
                connections.spawn(async move {
                    let Ok(mut connection) = acceptor.accept(connection).await else {
                        return;
                    };
                    let mut bytes = [0; 4096];
                    while let Ok(length) = connection.read(&mut bytes).await {
                        let answer = match &bytes[..length] {
                            [] => return,
                            asked if asked.starts_with(b"GET /readyz ") => {
                                let status = status.load(Ordering::SeqCst);
                                let body = "[+]ping ok\n[-]etcd failed: reason withheld\n";
                                let length = body.len();
                                format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}")
                                    .into_bytes()
                            }
                            other => [&[b'0' + number], other].concat(),
                        };
                        if connection.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            address,
            status,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

struct Bench {
    store: Store,
    port: u16,
    authority: Authority,
    stop: CancellationToken,
}

impl Bench {
    async fn start(servers: &[&Server], authority: Authority) -> Self {
        // Free now, and for as long as nobody else asks for one.
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (store, stop) = (Store::new(), CancellationToken::new());
        let mut config = state::testkit::config();
        let cert = authority.certificate_pem().parse().unwrap();
        config.cluster.ca = Some(machine_config::v1alpha1::CertificateAuthority { cert, key: None });
        store.put("config", NODE, config).unwrap();
        // Nobody listens at the endpoint.
        store
            .put("member", NODE, member(false, "https://127.0.0.1:1"))
            .unwrap();
        let addresses = servers.iter().map(|server| server.address).collect();
        store.put("nodes", NODE, ApiServers { addresses }).unwrap();
        let mut runtime = Runtime::new(store.clone());
        runtime.add(Balancer::at(port));
        tokio::spawn(runtime.run(stop.clone()));
        Self {
            store,
            port,
            authority,
            stop,
        }
    }

    /// Waits until the servers are as they should be.
    async fn until(&self, what: &str, good: impl Fn(&[BalancedServerOf]) -> bool) {
        let mut watch = self.store.watch(&[ApiBalancerStatus::KIND]);
        let seen = || -> Vec<BalancedServerOf> {
            let status = self.store.get::<ApiBalancerStatus>(NODE);
            let servers = status.map(|status| status.servers).unwrap_or_default();
            servers
                .into_iter()
                .map(|server| (server.address, server.health))
                .collect()
        };
        let wait = async {
            while !good(&seen()) {
                watch.changed().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what}: {:?}", seen());
        }
    }

    async fn connect(&self) -> Connection {
        let client = Client::trusting(self.authority.certificate_pem()).unwrap();
        let connection = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = "kubernetes.default.svc".try_into().unwrap();
        let connector = tokio_rustls::TlsConnector::from(client.over_http1().config);
        Connection(connector.connect(name, connection).await.unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type BalancedServerOf = (String, ServerHealth);

fn is(servers: &[BalancedServerOf], server: &Server, good: impl Fn(&ServerHealth) -> bool) -> bool {
    let address = server.address.to_string();
    servers
        .iter()
        .any(|(listed, health)| *listed == address && good(health))
}

struct Connection(tokio_rustls::client::TlsStream<TcpStream>);

impl Connection {
    /// Returns the number of the server at the other end; none if the connection is cut.
    async fn server(&mut self) -> Option<u8> {
        let mut answer = [0; 6];
        self.0.write_all(b"hello").await.ok()?;
        self.0.read_exact(&mut answer).await.ok()?;
        Some(answer[0] - b'0')
    }

    async fn is_cut(&mut self) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.0.read(&mut byte)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }
}

#[tokio::test]
async fn connections_move_from_a_server_that_is_not_ready_and_survive_the_loss_of_one() {
    let authority = Authority::generate_ecdsa("kubernetes", SystemTime::now()).unwrap();
    let (first, second) = (
        Server::start(1, &authority).await,
        Server::start(2, &authority).await,
    );
    let bench = Bench::start(&[&first, &second], authority).await;
    let ready = |health: &ServerHealth| *health == ServerHealth::Ready;
    bench
        .until("both are ready", |servers| {
            is(servers, &first, ready) && is(servers, &second, ready)
        })
        .await;
    let mut connection = bench.connect().await;
    let (used, other) = match connection.server().await {
        Some(1) => (first, second),
        Some(2) => (second, first),
        found => panic!("connected to {found:?}"),
    };

    used.status.store(500, Ordering::SeqCst);
    assert!(connection.is_cut().await, "another one is ready");
    let told = |health: &ServerHealth| match health {
        ServerHealth::NotReady { reason } => reason == "it answers with status 500: etcd",
        _ => false,
    };
    bench
        .until("it says why", |servers| is(servers, &used, told))
        .await;
    let mut connection = bench.connect().await;
    let moved = connection.server().await;
    assert!(moved.is_some());

    // It is the only ready one, and is lost: what is left is better than nothing.
    drop(other);
    assert!(connection.is_cut().await);
    let mut connection = bench.connect().await;
    let last = connection.server().await;
    assert!(last.is_some() && last != moved, "{last:?}");
    used.status.store(401, Ordering::SeqCst);
    bench
        .until("who does not know us serves all the same", |servers| {
            is(servers, &used, ready)
        })
        .await;
    assert_eq!(connection.server().await, last, "it was not cut");
}

#[tokio::test]
async fn somebody_else_at_the_address_of_a_server_is_down() {
    let authority = Authority::generate_ecdsa("kubernetes", SystemTime::now()).unwrap();
    let other = Authority::generate_ecdsa("kubernetes", SystemTime::now()).unwrap();
    let (real, foreign) = (Server::start(1, &authority).await, Server::start(2, &other).await);
    let bench = Bench::start(&[&real, &foreign], authority).await;
    bench
        .until("each is what it is", |servers| {
            is(servers, &real, |health| *health == ServerHealth::Ready)
                && is(servers, &foreign, |health| {
                    matches!(health, ServerHealth::Down { .. })
                })
        })
        .await;
    for _ in 0..3 {
        assert_eq!(bench.connect().await.server().await, Some(1));
    }
    // Outside of a cluster nobody listens.
    bench.store.remove::<ClusterMember>("member", NODE).unwrap();
    let closed = async {
        while TcpStream::connect(("127.0.0.1", bench.port)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}
