//! Calls through one node to another, over real TLS, and what is tried to get further.

use std::io;
use std::time::{Duration, SystemTime};

use api::Role;
use api::v1alpha1::log_service_client::LogServiceClient;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::peer_service_client::PeerServiceClient;
use api::v1alpha1::tunnel_request::Request as RequestKind;
use api::v1alpha1::{EventsRequest, RebootRequest, StatusRequest, TunnelRequest};
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use pki::authority::{self, SERVER_LIFE};
use pki::{Authority, Client, Serving, Validity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::testing::{TestServer, connect};
use super::tests::{channel, home, serving, user};

fn named(node: &str) -> TunnelRequest {
    TunnelRequest {
        request: Some(RequestKind::Node(node.to_owned())),
    }
}

fn piece(data: &[u8]) -> TunnelRequest {
    TunnelRequest {
        request: Some(RequestKind::Data(data.to_vec())),
    }
}

fn received<T: Send + 'static>(from: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> + Send {
    futures::stream::unfold(from, |mut from| async {
        from.recv().await.map(|item| (item, from))
    })
}

/// Makes a tunnel, and carries bytes between it and what is returned.
async fn tunnel(through: &Channel, node: &str) -> Result<DuplexStream, Status> {
    let (sender, requests) = mpsc::channel(4);
    sender.send(named(node)).await.unwrap();
    let mut responses = PeerServiceClient::new(through.clone())
        .tunnel(received(requests))
        .await?
        .into_inner();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Ok(Some(response)) = responses.message().await {
            if write.write_all(&response.data).await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let mut bytes = vec![0; api::MAX_TUNNEL_DATA];
        while let Ok(count @ 1..) = read.read(&mut bytes).await {
            if sender.send(piece(&bytes[..count])).await.is_err() {
                break;
            }
        }
    });
    Ok(near)
}

/// Speaks to the API of the node at the end of a tunnel, as a client of one's own.
async fn inner(stream: DuplexStream, client: &Client) -> Result<Channel, tonic::transport::Error> {
    let connector = TlsConnector::from(client.config.clone());
    let mut stream = Some(stream);
    let dial = tower::service_fn(move |_: http::Uri| {
        let (connector, stream) = (connector.clone(), stream.take());
        async move {
            let stream = stream.ok_or_else(|| io::Error::other("the tunnel was used"))?;
            let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Endpoint::from_static("http://node")
        .connect_with_connector(dial)
        .await
}

struct Lab {
    home: Authority,
    near: TestServer,
    far: TestServer,
}

/// Two nodes: the near one knows the far one, and the far one knows where calls of the near one come from.
async fn lab() -> Lab {
    let home = home();
    let near = TestServer::start("near", serving(&home)).await.unwrap();
    let far = TestServer::start("far", serving(&home)).await.unwrap();
    near.node.peers.add("far", far.address);
    far.node.peers.add("near", near.address);
    far.node.peers.call_from([127, 0, 0, 1].into());
    Lab { home, near, far }
}

impl Lab {
    async fn through(&self, role: Role) -> Channel {
        channel(&self.near, &self.home, role).await
    }

    async fn far_as(&self, role: Role) -> Channel {
        let stream = tunnel(&self.through(role).await, "far").await.unwrap();
        inner(stream, &user(&self.home, &self.home, role.organization()))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_far_node_answers_with_the_rights_of_the_caller() {
    let lab = lab().await;
    for role in Role::ALL {
        let mut machine = MachineServiceClient::new(lab.far_as(role).await);
        let status = machine.status(StatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.hostname, "far");
        let rebooted = machine.reboot(RebootRequest {}).await;
        let code = rebooted.err().map(|status| status.code());
        let expected = (role < Role::Operator).then_some(Code::PermissionDenied);
        assert_eq!(code, expected, "{role}");
    }
    assert_eq!(lab.far.node.calls(), ["reboot", "reboot"]);
    assert_eq!(lab.near.node.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn streams_pass_and_end_with_either_side() {
    let lab = lab().await;
    let mut logs = LogServiceClient::new(lab.far_as(Role::Reader).await);
    let follow = EventsRequest {
        follow: true,
        ..EventsRequest::default()
    };
    let mut events = logs.events(follow).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().is_some());
    drop(lab.far);
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while let Ok(Some(_)) = events.message().await {}
    });
    ended.await.expect("it ends with the far node");
}

#[tokio::test]
async fn rights_at_the_near_node_that_end_end_the_tunnel() {
    let lab = lab().await;
    let mut machine = MachineServiceClient::new(lab.far_as(Role::Admin).await);
    machine.status(StatusRequest {}).await.unwrap();
    lab.near.tls.set(Some(serving(&home())));
    let error = machine.status(StatusRequest {}).await;
    assert!(error.is_err(), "{error:?}");
}

#[tokio::test]
async fn a_tunnel_gives_nobody_a_right_that_their_own_certificate_does_not() {
    let lab = lab().await;
    let away = home();
    let attacks = [
        ("no certificate", Client::unverified().unwrap()),
        (
            "one of another authority",
            user(&away, &lab.home, Role::Admin.organization()),
        ),
        ("a worker's", worker(&lab.home)),
    ];
    for (what, client) in attacks {
        // The tunnel is an admin's, and helps nothing.
        let stream = tunnel(&lab.through(Role::Admin).await, "far").await.unwrap();
        let answered = match inner(stream, &client).await {
            Ok(channel) => MachineServiceClient::new(channel)
                .status(StatusRequest {})
                .await
                .is_ok(),
            Err(_) => false,
        };
        assert!(!answered, "{what}");
    }
    // The same attackers get no tunnel either.
    for client in [Client::unverified().unwrap(), worker(&lab.home)] {
        let refused = match connect(lab.near.address, &client).await {
            Ok(channel) => tunnel(&channel, "far").await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    let nobody = user(&lab.home, &lab.home, "bedplate:root");
    let nobody = connect(lab.near.address, &nobody).await.unwrap();
    let error = tunnel(&nobody, "far").await.unwrap_err();
    assert_eq!(
        error.code(),
        Code::PermissionDenied,
        "a certificate without a role"
    );
    assert_eq!(lab.far.node.calls(), Vec::<String>::new());
}

/// A client with the certificate of a node, as control planes sign them.
fn worker(home: &Authority) -> Client {
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    let issued = home
        .issue_server("Bedplate node", &["127.0.0.1".to_owned()], validity)
        .unwrap();
    Client::mutual(home.certificate_pem(), &issued.pem, &issued.key.to_pem()).unwrap()
}

#[tokio::test]
async fn words_about_oneself_are_not_believed() {
    let lab = lab().await;
    let mut machine = MachineServiceClient::new(lab.far_as(Role::Reader).await);
    let mut request = tonic::Request::new(RebootRequest {});
    for (name, value) in [
        ("role", "admin"),
        ("bedplate-role", "bedplate:admin"),
        ("x-forwarded-for", "127.0.0.1"),
        ("nodes", "near"),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let status = machine.reboot(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(lab.far.node.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_call_goes_through_one_node_at_most() {
    let lab = lab().await;
    let far = lab.far_as(Role::Admin).await;
    let error = tunnel(&far, "near").await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("one node at most"), "{error:?}");
}

#[tokio::test]
async fn a_tunnel_leads_to_nodes_that_prove_themselves_and_nowhere_else() {
    let lab = lab().await;
    let through = lab.through(Role::Admin).await;
    let error = tunnel(&through, "192.0.2.1").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("far"), "it names the nodes: {error:?}");

    // Reset since the cluster saw it: whoever reached it could own it.
    let made = authority::maintenance(&["127.0.0.1".to_owned()]).unwrap();
    let reset = TestServer::start("reset", Serving::maintenance(&made).unwrap())
        .await
        .unwrap();
    let foreign = TestServer::start("foreign", serving(&home())).await.unwrap();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let peers = &lab.near.node.peers;
    peers.add("reset", reset.address);
    peers.add("foreign", foreign.address);
    peers.add("plain", plain.local_addr().unwrap());
    peers.add("closed", closed);
    for (node, code, text) in [
        ("reset", Code::FailedPrecondition, "does not prove"),
        ("foreign", Code::FailedPrecondition, "does not prove"),
        ("plain", Code::Unavailable, "cannot reach \"plain\" at 127.0.0.1:"),
        (
            "closed",
            Code::Unavailable,
            "cannot reach \"closed\" at 127.0.0.1:",
        ),
    ] {
        let error = tunnel(&through, node).await.unwrap_err();
        assert_eq!(error.code(), code, "{node}: {error:?}");
        assert!(error.message().contains(text), "{error:?}");
    }
}

#[tokio::test]
async fn in_maintenance_mode_there_are_no_tunnels() {
    let made = authority::maintenance(&[]).unwrap();
    let server = TestServer::start("near", Serving::maintenance(&made).unwrap())
        .await
        .unwrap();
    server.node.peers.add("near", server.address);
    let channel = connect(server.address, &Client::unverified().unwrap())
        .await
        .unwrap();
    let error = tunnel(&channel, "near").await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn what_is_no_tunnel_is_refused() {
    let lab = lab().await;
    let through = lab.through(Role::Reader).await;
    let mut service = PeerServiceClient::new(through);
    let long = "x".repeat(300);
    for (first, code) in [
        (piece(b"GET /"), Code::InvalidArgument),
        (TunnelRequest::default(), Code::InvalidArgument),
        (named(""), Code::InvalidArgument),
        (named("a b"), Code::InvalidArgument),
        (named(&long), Code::InvalidArgument),
        (named("\u{7}"), Code::InvalidArgument),
        (piece(&[0; 9000]), Code::OutOfRange),
    ] {
        let status = service.tunnel(futures::stream::iter([first])).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
    }
    let twice = [named("far"), named("near")];
    let mut responses = service
        .tunnel(futures::stream::iter(twice).chain(futures::stream::pending()))
        .await
        .unwrap()
        .into_inner();
    let status = responses.message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn tunnels_beyond_the_limit_close_the_oldest_of_the_same_name() {
    let lab = lab().await;
    let mut channels = Vec::new();
    for _ in 0..5 {
        channels.push(lab.through(Role::Reader).await);
    }
    let mut streams = Vec::new();
    for number in 0..33 {
        streams.push(tunnel(&channels[number / 7], "far").await.unwrap());
    }
    let mut rest = [0; 1];
    let oldest = tokio::time::timeout(Duration::from_secs(5), streams[0].read(&mut rest)).await;
    assert_eq!(oldest.expect("it is closed").unwrap(), 0);
}
