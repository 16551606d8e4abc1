//! The real server on a port of this machine: who may call what, and what is answered.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::v1alpha1::file_service_client::FileServiceClient;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::resource_service_client::ResourceServiceClient;
use api::v1alpha1::{
    ApplyConfigRequest, GetConfigRequest, ReadFileRequest, ResetRequest, StatusRequest, WatchEvent,
    WatchResourcesRequest,
};
use api::{METHODS, Method, Open, Role};
use pki::authority::{self, CLIENT_LIFE, SERVER_LIFE};
use pki::{Authority, Client, Issued, NodeClock, Serving, Validity};
use serde::{Deserialize, Serialize};
use state::Resource;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::testing::{TestServer, connect};

pub(super) fn home() -> Authority {
    Authority::generate("home", SystemTime::now()).unwrap()
}

fn node_certificate(authority: &Authority) -> Issued {
    let validity = Validity::starting(SystemTime::now(), SERVER_LIFE);
    authority
        .issue_server("node1", &["127.0.0.1".to_owned()], validity)
        .unwrap()
}

pub(super) fn serving(authority: &Authority) -> Serving {
    let clock = Arc::new(NodeClock::trusting());
    Serving::mutual(authority.certificate_pem(), &node_certificate(authority), clock).unwrap()
}

pub(super) fn user(authority: &Authority, believes: &Authority, organization: &str) -> Client {
    named("ann", authority, believes, organization)
}

/// Makes a client with a certificate of that name.
pub(super) fn named(name: &str, authority: &Authority, believes: &Authority, organization: &str) -> Client {
    let validity = Validity::starting(SystemTime::now(), CLIENT_LIFE);
    let issued = authority.issue_client(name, organization, validity).unwrap();
    Client::mutual(believes.certificate_pem(), &issued.pem, &issued.key.to_pem()).unwrap()
}

async fn call_with(server: &TestServer, client: &Client, path: &'static str) -> Result<(), String> {
    let channel = connect(server.address, client)
        .await
        .map_err(|error| format!("{error:?}"))?;
    call(&channel, path)
        .await
        .map_err(|status| format!("{:?} {}", status.code(), status.message()))
}

/// Calls a method with an empty message and takes the first answer, whatever it is.
pub(super) async fn call(channel: &Channel, path: &'static str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|error| Status::unknown(format!("{error:?}")))?;
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    let mut answers = grpc
        .server_streaming(Request::new(()), path, codec)
        .await?
        .into_inner();
    let first = tokio::time::timeout(Duration::from_secs(2), answers.message()).await;
    // A stream that has nothing to say yet was let through as well.
    first.unwrap_or(Ok(None)).map(drop)
}

/// Tells a refusal by the guard from an answer of a handler, errors included.
fn refused(result: &Result<(), Status>) -> bool {
    let Err(status) = result else { return false };
    let in_maintenance = status.message().contains("not answered in maintenance mode");
    matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
    ) || in_maintenance
}

#[tokio::test]
async fn every_method_lets_in_exactly_the_roles_of_the_table() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    for role in Role::ALL {
        let channel = connect(server.address, &user(&home, &home, role.organization()))
            .await
            .unwrap();
        for Method {
            path, role: least, ..
        } in METHODS
        {
            let result = call(&channel, path).await;
            assert_eq!(refused(&result), role < *least, "{role} calls {path}: {result:?}");
        }
    }
    let channel = connect(server.address, &user(&home, &home, "bedplate:root"))
        .await
        .unwrap();
    for Method { path, .. } in METHODS {
        let status = call(&channel, path).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "no role calls {path}");
    }
}

#[tokio::test]
async fn no_method_lets_in_strangers() {
    let (home, away) = (home(), home());
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let strangers = [
        ("no certificate", Client::unverified().unwrap()),
        (
            "another authority's certificate",
            user(&away, &home, Role::Admin.organization()),
        ),
    ];
    for (what, client) in strangers {
        for Method { path, .. } in METHODS {
            let error = call_with(&server, &client, path).await.expect_err(what);
            // TLS ends it: nothing of gRPC is answered, not even a refusal.
            let alert = [
                "CertificateRequired",
                "UnknownCA",
                "BadCertificate",
                "DecryptError",
                "Unknown ",
            ];
            assert!(
                alert.iter().any(|alert| error.contains(alert)),
                "{what} calls {path}: {error}"
            );
        }
    }
    assert_eq!(server.node.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn maintenance_mode_answers_what_the_table_says_to_anybody() {
    let made = authority::maintenance(&[]).unwrap();
    let server = TestServer::start("node1", Serving::maintenance(&made).unwrap())
        .await
        .unwrap();
    let client = Client::pinned(made.certificate.fingerprint()).unwrap();
    let channel = connect(server.address, &client).await.unwrap();
    for Method { path, open, .. } in METHODS {
        let result = call(&channel, path).await;
        assert_eq!(refused(&result), *open == Open::Never, "{path}: {result:?}");
    }
    let result = call(&channel, "/bedplate.v1alpha1.MachineService/Destroy").await;
    assert_eq!(result.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(server.node.calls(), Vec::<String>::new(), "nothing was done");
}

#[tokio::test]
async fn the_end_of_maintenance_mode_needs_no_restart_and_ends_its_rights() {
    let home = home();
    let made = authority::maintenance(&[]).unwrap();
    let server = TestServer::start("node1", Serving::maintenance(&made).unwrap())
        .await
        .unwrap();
    let anybody = connect(server.address, &Client::unverified().unwrap())
        .await
        .unwrap();
    const VERSION: &str = "/bedplate.v1alpha1.MachineService/Version";
    call(&anybody, VERSION).await.unwrap();

    server.tls.set(Some(serving(&home)));
    assert_eq!(
        call(&anybody, VERSION).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let ann = connect(server.address, &user(&home, &home, "bedplate:reader"))
        .await
        .unwrap();
    call(&ann, VERSION).await.unwrap();

    // A renewed certificate of the same authority changes nothing for those who are connected.
    server.tls.set(Some(serving(&home)));
    call(&ann, VERSION).await.unwrap();
    server.tls.set(Some(serving(&self::home())));
    assert_eq!(
        call(&ann, VERSION).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

pub(super) async fn channel(server: &TestServer, home: &Authority, role: Role) -> Channel {
    connect(server.address, &user(home, home, role.organization()))
        .await
        .unwrap()
}

#[tokio::test]
async fn answers_come_from_the_node_the_store_and_the_kernel() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let channel = channel(&server, &home, Role::Reader).await;
    let mut machine = MachineServiceClient::new(channel.clone());
    let status = machine.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.hostname.as_str(), status.slots.len()), ("node1", 2));
    assert!(status.agent_rss_bytes > 0 && status.uptime_ms > 0 && !status.kernel.is_empty());
}

#[tokio::test]
async fn only_admins_see_secrets_and_only_operators_files() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    for (role, redacted) in [(Role::Reader, true), (Role::Operator, true), (Role::Admin, false)] {
        let mut machine = MachineServiceClient::new(channel(&server, &home, role).await);
        let config = machine
            .get_config(GetConfigRequest {})
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (config.redacted, config.yaml.contains("real")),
            (redacted, !redacted),
            "{role}"
        );
    }
    let mut files = FileServiceClient::new(channel(&server, &home, Role::Operator).await);
    let read = |path: &str| ReadFileRequest {
        path: path.into(),
        limit: 8,
        ..ReadFileRequest::default()
    };
    let mut chunks = files.read(read("/proc/meminfo")).await.unwrap().into_inner();
    assert_eq!(chunks.message().await.unwrap().unwrap().data, b"MemTotal");
    assert_eq!(chunks.message().await.unwrap(), None);
    let status = files.read(read("/proc/1/environ")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_reset_of_unknown_scope_wipes_nothing() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let mut machine = MachineServiceClient::new(channel(&server, &home, Role::Admin).await);
    let reset = |scope| ResetRequest {
        scope,
        shutdown: true,
    };
    assert_eq!(
        machine.reset(reset(9)).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    machine.reset(reset(0)).await.unwrap();
    assert_eq!(server.node.calls(), ["reset State shutdown=true"]);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lamp {
    lit: bool,
}

impl Resource for Lamp {
    const KIND: &'static str = "Lamp";
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_then_each_change() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    server.store.put("test", "hall", Lamp { lit: false }).unwrap();
    let mut resources = ResourceServiceClient::new(channel(&server, &home, Role::Reader).await);
    let request = WatchResourcesRequest {
        kind: "lamp".into(),
        id: String::new(),
    };
    let mut watch = resources.watch(request).await.unwrap().into_inner();
    let mut next = async || {
        let answer = watch.message().await.unwrap().unwrap();
        (
            answer.event(),
            answer
                .resource
                .map(|resource| resource.value_json)
                .unwrap_or_default(),
        )
    };
    assert_eq!(next().await, (WatchEvent::Created, r#"{"lit":false}"#.into()));
    assert_eq!(next().await, (WatchEvent::Synced, String::new()));
    server.store.put("test", "hall", Lamp { lit: true }).unwrap();
    assert_eq!(next().await, (WatchEvent::Updated, r#"{"lit":true}"#.into()));
    server.store.remove::<Lamp>("test", "hall").unwrap();
    assert_eq!(next().await, (WatchEvent::Removed, r#"{"lit":true}"#.into()));
}

#[tokio::test]
async fn a_stranger_who_says_nothing_does_not_stop_others() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let idle = connect_idly(server.address, 10).await;
    let channel = channel(&server, &home, Role::Reader).await;
    call(&channel, "/bedplate.v1alpha1.MachineService/Version")
        .await
        .unwrap();
    drop(idle);
}

/// Waits for the end of a connection that never says what it should.
#[tokio::test]
async fn the_first_byte_and_the_whole_handshake_have_their_time() {
    let server = TestServer::start("node1", serving(&home())).await.unwrap();
    let [mut silent, mut slow] = [(); 2].map(|()| std::net::TcpStream::connect(server.address).unwrap());
    let soon = Some(Duration::from_secs(30));
    silent.set_read_timeout(soon).unwrap();
    slow.set_read_timeout(soon).unwrap();
    let silence = tokio::task::spawn_blocking(move || silent.read(&mut [0; 8]));
    // The beginning of a handshake of 512 bytes, which would take longer than a minute like this.
    let drip = tokio::task::spawn_blocking(move || {
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
        let sent = hello
            .into_iter()
            .chain(std::iter::repeat_n(0, 503))
            .take_while(|byte| {
                std::thread::sleep(Duration::from_millis(150));
                slow.write_all(&[*byte]).is_ok()
            });
        sent.count()
    });
    assert!(
        matches!(silence.await.unwrap(), Ok(0)),
        "it is closed, not left open"
    );
    let sent = drip.await.unwrap();
    assert!(sent < 400, "{sent} bytes were taken");
}

async fn connect_idly(address: SocketAddr, count: usize) -> Vec<tokio::net::TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    streams
}

#[tokio::test]
async fn a_request_has_a_largest_size() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let mut machine = MachineServiceClient::new(channel(&server, &home, Role::Admin).await);
    let request = ApplyConfigRequest {
        yaml: "x".repeat(api::MAX_MESSAGE + 1),
        ..ApplyConfigRequest::default()
    };
    let status = machine.apply_config(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert_eq!(server.node.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_watch() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let mut resources = ResourceServiceClient::new(channel(&server, &home, Role::Reader).await);
    let request = WatchResourcesRequest {
        kind: "Lamp".into(),
        id: String::new(),
    };
    let mut watch = resources.watch(request).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().event(),
        WatchEvent::Synced
    );
    drop(server);
    let ended = tokio::time::timeout(Duration::from_secs(10), watch.message()).await;
    let ended = ended.expect("the watch ends soon after the server");
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
}

#[tokio::test]
async fn a_file_of_many_chunks_comes_whole() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let path = "/proc/kallsyms";
    let expected = std::fs::read(path).expect("a long file that every Linux has");
    let mut files = FileServiceClient::new(channel(&server, &home, Role::Operator).await);
    let request = ReadFileRequest {
        path: path.into(),
        ..ReadFileRequest::default()
    };
    let mut chunks = files.read(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        found.extend(chunk.data);
    }
    assert_eq!(found.len(), expected.len());
}
