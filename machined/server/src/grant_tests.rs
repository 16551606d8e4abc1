//! Calls that are under way when the right to make them ends: a real server, and a real config behind it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::Role;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::resource_service_client::ResourceServiceClient;
use api::v1alpha1::{
    ApplyConfigRequest, ApplyConfigResponse, ResetRequest, ResetResponse, WatchEvent, WatchResourcesRequest,
    WatchResourcesResponse,
};
use config::testing::places;
use config::{ConfigHandle, acquire};
use futures::StreamExt as _;
use machine_config::{MachineConfig, Secret};
use node::events::Events;
use node::power::Power;
use pki::{Authority, Client, NodeClock, Serving, Validity, authority};
use prost::Message;
use state::Store;
use state::testkit::config;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use super::siege::attack::{ends, shake_hands};
use super::testing::{TestServer, connect};
use super::tests::{channel, home, serving, user};

/// How long something may take that should happen at once.
const SOON: Duration = Duration::from_secs(20);
const APPLY: &str = "/bedplate.v1alpha1.MachineService/ApplyConfig";
const RESET: &str = "/bedplate.v1alpha1.MachineService/Reset";

/// A call whose headers have been sent, and whose body has not.
struct Held<A> {
    body: oneshot::Sender<()>,
    call: JoinHandle<Result<Response<A>, Status>>,
}

async fn hold<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Held<A>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let (body, released) = oneshot::channel();
    let messages = futures::stream::once(async move {
        // A test that ends without letting it go wants nothing sent.
        if released.await.is_err() {
            std::future::pending::<()>().await;
        }
        request
    });
    let call = tokio::spawn(async move {
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        grpc.client_streaming(tonic::Request::new(messages.boxed()), path, codec)
            .await
    });
    // On one connection requests arrive in order: when another one is answered, the first is under way.
    let _ = MachineServiceClient::new(channel.clone())
        .version(api::v1alpha1::VersionRequest {})
        .await
        .unwrap();
    Held { body, call }
}

impl<A> Held<A> {
    /// Sends the body at last.
    async fn sent(self) -> Result<A, Status> {
        let Held { body, call } = self;
        // A call that has ended already takes no body.
        let _ = body.send(());
        let ended = tokio::time::timeout(SOON, call).await;
        ended.expect("the call ends").unwrap().map(Response::into_inner)
    }

    /// Waits for its end without sending the body.
    async fn ends(self) -> Result<A, Status> {
        let Held { body: _kept, call } = self;
        let ended = tokio::time::timeout(SOON, call).await;
        ended.expect("the call ends").unwrap().map(Response::into_inner)
    }
}

fn asking(config: &MachineConfig) -> ApplyConfigRequest {
    ApplyConfigRequest {
        yaml: config.to_yaml_with_secrets(),
        ..ApplyConfigRequest::default()
    }
}

/// A config by which somebody else would own the node.
fn foreign() -> MachineConfig {
    let (home, mut foreign) = (home(), config());
    foreign.machine.ca.cert = home.certificate_pem().parse().unwrap();
    foreign.machine.ca.key = Some(Secret::new(home.key_pem().as_str()));
    foreign
}

/// A node in maintenance mode that applies configs as a real one does.
struct Node {
    server: TestServer,
    configs: ConfigHandle,
    _dir: tempfile::TempDir,
}

async fn node() -> Node {
    let (dir, disk) = places();
    let acquired = acquire(&disk);
    let configs = ConfigHandle::start(
        Store::new(),
        disk,
        Power::new(),
        Events::new(),
        Arc::new(NodeClock::trusting()),
        acquired,
    )
    .unwrap();
    let made = authority::maintenance(&[]).unwrap();
    let serving = Serving::maintenance(&made).unwrap();
    let handle = configs.clone();
    let server = TestServer::start_with("node1", serving, |backend| backend.configs = Arc::new(handle))
        .await
        .unwrap();
    Node {
        server,
        configs,
        _dir: dir,
    }
}

async fn stranger(server: &TestServer) -> Channel {
    connect(server.address, &Client::unverified().unwrap())
        .await
        .unwrap()
}

/// The certificate in service follows the config a moment later; a stranger can be faster than that.
#[tokio::test]
async fn a_body_held_back_over_the_end_of_maintenance_mode_is_not_applied() {
    let node = node().await;
    let early = stranger(&node.server).await;
    let held = hold::<_, ApplyConfigResponse>(&early, APPLY, asking(&foreign())).await;
    let owner = stranger(&node.server).await;
    let mut owner = MachineServiceClient::new(owner);
    owner.apply_config(asking(&config())).await.unwrap();

    let status = held.sent().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(node.configs.config(), Some(config()), "the owner's config stays");

    let again = owner.apply_config(asking(&config())).await.unwrap_err();
    assert_eq!(again.code(), Code::Unauthenticated, "for the owner, too");
}

#[tokio::test]
async fn the_end_of_maintenance_mode_ends_the_calls_of_strangers() {
    let node = node().await;
    let channel = stranger(&node.server).await;
    let held = hold::<_, ApplyConfigResponse>(&channel, APPLY, asking(&foreign())).await;
    node.server.tls.set(Some(serving(&home())));
    let status = held.ends().await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::Unauthenticated,
        "without the body: {status:?}"
    );
    assert_eq!(node.configs.config(), None);
}

/// The controller swaps the certificate while the owner's own call is still being answered.
#[tokio::test]
async fn who_ends_maintenance_mode_is_answered() {
    let node = node().await;
    let tls = node.server.tls.clone();
    let configs = node.configs.clone();
    let swap = tokio::spawn(async move {
        while configs.config().is_none() {
            tokio::task::yield_now().await;
        }
        tls.set(Some(serving(&home())));
    });
    let mut owner = MachineServiceClient::new(stranger(&node.server).await);
    owner.apply_config(asking(&config())).await.unwrap();
    swap.await.unwrap();
}

#[tokio::test]
async fn another_authority_ends_what_the_old_one_allowed() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let channel = channel(&server, &home, Role::Admin).await;
    let held = hold::<_, ResetResponse>(&channel, RESET, ResetRequest::default()).await;
    let mut watch = watch(&channel).await;
    server.tls.set(Some(serving(&self::home())));
    assert_eq!(held.ends().await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(end_of(&mut watch).await.code(), Code::Unauthenticated);
    assert_eq!(server.node.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_renewed_certificate_ends_nothing() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let channel = channel(&server, &home, Role::Admin).await;
    let held = hold::<_, ResetResponse>(&channel, RESET, ResetRequest::default()).await;
    server.tls.set(Some(serving(&home)));
    held.sent().await.unwrap();
    assert_eq!(server.node.calls(), ["reset State shutdown=false"]);
}

/// What a connection costs is given back as well, and its place is free for somebody who may still come.
#[tokio::test]
async fn a_connection_ends_with_what_it_was_made_under() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let mut idle = shake_hands(server.address, &user(&home, &home, Role::Admin.organization()))
        .await
        .unwrap();
    server.tls.set(Some(serving(&home)));
    assert!(!ends(&mut idle).await, "a renewed certificate ends nothing");
    server.tls.set(Some(serving(&self::home())));
    let ended = async { while !ends(&mut idle).await {} };
    tokio::time::timeout(SOON, ended).await.expect("it ends");
}

#[tokio::test]
async fn streams_and_calls_end_with_the_certificate() {
    let home = home();
    let server = TestServer::start("node1", serving(&home)).await.unwrap();
    let client = short_lived(&home, Duration::from_secs(3));
    let channel = connect(server.address, &client).await.unwrap();
    let held = hold::<_, ResetResponse>(&channel, RESET, ResetRequest::default()).await;
    let mut watch = watch(&channel).await;
    let status = end_of(&mut watch).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("has expired"), "{status:?}");
    assert_eq!(held.ends().await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(server.node.calls(), Vec::<String>::new());
}

fn short_lived(home: &Authority, life: Duration) -> Client {
    let now = SystemTime::now();
    let validity = Validity {
        not_before: now - Duration::from_secs(60),
        not_after: now + life,
    };
    let issued = home
        .issue_client("ann", Role::Admin.organization(), validity)
        .unwrap();
    Client::mutual(home.certificate_pem(), &issued.pem, &issued.key.to_pem()).unwrap()
}

async fn watch(channel: &Channel) -> Streaming<WatchResourcesResponse> {
    let request = WatchResourcesRequest {
        kind: "Lamp".into(),
        id: String::new(),
    };
    let mut resources = ResourceServiceClient::new(channel.clone());
    let mut watch = resources.watch(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.event(), WatchEvent::Synced);
    watch
}

async fn end_of(watch: &mut Streaming<WatchResourcesResponse>) -> Status {
    let ended = tokio::time::timeout(SOON, watch.message()).await;
    ended.expect("the stream ends").unwrap_err()
}
