//! Strangers in numbers.

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pki::NodeClock;

use super::bench::{Home, Worker};
use crate::policy::API;

/// Connects from another address of this machine than the workers have.
async fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 99), 0)))
        .unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn whoever_guesses_or_keeps_silent_keeps_nobody_out() {
    let (home, disk) = (Home::start().await, tempfile::tempdir().unwrap());
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect(home.address).await);
    }
    let clock = Arc::new(NodeClock::trusting());
    let own = pki::PrivateKey::generate().unwrap();
    let mut codes = Vec::new();
    for attempt in 0..40 {
        let authorities = home.secrets.authority.certificate_pem();
        let client = pki::Client::of_node(authorities, None, clock.clone()).unwrap();
        let token = format!("guess.{attempt}");
        codes.push(guess(&client, home.address, &own, &token).await);
    }
    let wrong = codes
        .iter()
        .filter(|code| **code == tonic::Code::Unauthenticated)
        .count();
    assert!((1..=12).contains(&wrong), "{codes:?}");
    assert!(codes.ends_with(&[tonic::Code::ResourceExhausted]), "{codes:?}");
    assert!(home.said().lines().count() <= 12, "nor are the events flooded");

    let mut worker = Worker::new(&home, "worker", "192.0.2.7", &home.secrets.token, disk.path());
    assert_eq!(worker.run().await, None, "from another address");
    let mut closed = 0;
    for mut stream in silent {
        let mut byte = [0; 1];
        closed += usize::from(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    }
    assert_eq!(closed, 300, "they are closed, at the latest after some seconds");
}

async fn guess(client: &pki::Client, to: SocketAddr, own: &pki::PrivateKey, token: &str) -> tonic::Code {
    let stream = connect(to).await;
    let connector = tokio_rustls::TlsConnector::from(client.config.clone());
    let name = tokio_rustls::rustls::pki_types::ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let stream = connector.connect(name, stream).await.unwrap();
    let mut stream = Some(hyper_util::rt::TokioIo::new(stream));
    let take = tower::service_fn(move |_: http::Uri| {
        std::future::ready(stream.take().ok_or_else(|| std::io::Error::other("once")))
    });
    let endpoint = tonic::transport::Endpoint::from_static("http://node");
    let channel = endpoint.connect_with_connector(take).await.unwrap();
    let subject = pki::Subject {
        name: crate::policy::API_NAME,
        organization: None,
        alternative_names: &["worker".to_owned()],
        purposes: pki::Purposes::default(),
    };
    let request = crate::proto::JoinRequest {
        token: token.to_owned(),
        requests: vec![crate::proto::CertificateRequest {
            which: API.to_owned(),
            der: pki::SigningRequest::make(&subject, own).unwrap(),
        }],
    };
    let mut service = crate::proto::trust_service_client::TrustServiceClient::new(channel);
    service.join(request).await.map(drop).unwrap_err().code()
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_before_it_is_read() {
    let home = Home::start().await;
    let client = pki::Client::of_node(
        home.secrets.authority.certificate_pem(),
        None,
        Arc::new(NodeClock::trusting()),
    );
    let own = pki::PrivateKey::generate().unwrap();
    let code = guess(&client.unwrap(), home.address, &own, &"x".repeat(100_000)).await;
    assert!(
        matches!(
            code,
            tonic::Code::OutOfRange | tonic::Code::Internal | tonic::Code::Cancelled
        ),
        "{code:?}"
    );
    assert_eq!(home.said(), "");
}
