//! Nodes that are locked: a real server, and a real config behind it.

use std::sync::Arc;
use std::time::SystemTime;

use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{ApplyConfigRequest, Phase, ResetRequest, StatusRequest, VersionRequest};
use api::{METHODS, Method, Open, Role};
use config::testing::places;
use config::{ConfigHandle, acquire};
use node::events::Events;
use node::power::Power;
use pki::authority::CLIENT_LIFE;
use pki::{Authority, Client, Fingerprint, NodeClock, Serving, Validity, authority};
use state::Store;
use state::kinds::config::Phase as ConfigPhase;
use state::kinds::{ConfigStatus, NODE};
use state::testkit::{authority as owner, config};
use tonic::Code;
use tonic::transport::Channel;

use super::testing::{TestServer, connect};
use super::tests::call;

struct Node {
    server: TestServer,
    store: Store,
    print: Fingerprint,
    _dir: tempfile::TempDir,
}

/// A node whose config was damaged in both its files while it was off. It still knows its owner, or not.
async fn locked(owner_known: bool) -> Node {
    let (dir, disk) = places();
    let made = authority::locked().unwrap();
    disk.own(&owner::Owner::of(owner().certificate_pem()));
    let acquired = acquire(&disk);
    let store = Store::new();
    let configs = ConfigHandle::start(
        store.clone(),
        disk,
        Power::new(),
        Events::new(),
        Arc::new(NodeClock::trusting()),
        acquired,
    )
    .unwrap();
    let serving = if owner_known {
        let clock = Arc::new(NodeClock::trusting());
        Serving::mutual(owner().certificate_pem(), &made, clock)
    } else {
        Serving::locked(&made)
    };
    let server = TestServer::start_with("node1", serving.unwrap(), |backend| {
        backend.configs = Arc::new(configs);
    })
    .await
    .unwrap();
    Node {
        server,
        store,
        print: made.certificate.fingerprint(),
        _dir: dir,
    }
}

impl Node {
    fn phase(&self) -> ConfigPhase {
        self.store.get::<ConfigStatus>(NODE).unwrap().phase
    }

    /// Connects as an admin of this authority who has compared the fingerprint with the console.
    async fn admin(&self, authority: &Authority) -> Channel {
        let validity = Validity::starting(SystemTime::now(), CLIENT_LIFE);
        let issued = authority
            .issue_client("ann", Role::Admin.organization(), validity)
            .unwrap();
        let client = Client::mutual_pinned(self.print, &issued.pem, &issued.key.to_pem()).unwrap();
        connect(self.server.address, &client).await.unwrap()
    }
}

fn asking() -> ApplyConfigRequest {
    ApplyConfigRequest {
        yaml: config().to_yaml_with_secrets(),
        ..ApplyConfigRequest::default()
    }
}

#[tokio::test]
async fn a_locked_node_is_repaired_by_its_owner_and_by_nobody_else() {
    let node = locked(true).await;
    assert!(matches!(node.phase(), ConfigPhase::Locked { .. }));
    let anybody = Client::pinned(node.print).unwrap();
    let other = Authority::generate("home", SystemTime::now()).unwrap();
    // A client that is refused learns so at its first call.
    let strangers = [
        connect(node.server.address, &anybody).await.ok(),
        Some(node.admin(&other).await),
    ];
    for channel in strangers.into_iter().flatten() {
        let mut machine = MachineServiceClient::new(channel);
        assert!(machine.apply_config(asking()).await.is_err());
        assert!(machine.status(StatusRequest {}).await.is_err());
    }
    assert!(matches!(node.phase(), ConfigPhase::Locked { .. }));

    let mut machine = MachineServiceClient::new(node.admin(owner()).await);
    machine.apply_config(asking()).await.unwrap();
    assert!(matches!(node.phase(), ConfigPhase::Running { .. }));
}

#[tokio::test]
async fn a_locked_node_without_an_owner_shows_its_state_and_changes_nothing() {
    let node = locked(false).await;
    let client = Client::pinned(node.print).unwrap();
    let channel = connect(node.server.address, &client).await.unwrap();
    let mut machine = MachineServiceClient::new(channel.clone());
    machine.version(VersionRequest {}).await.unwrap();
    let status = machine.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.phase(), Phase::Locked);
    let refused = machine.apply_config(asking()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("no longer knows its owner"),
        "{}",
        refused.message()
    );
    let refused = machine.reset(ResetRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    for Method { path, open, .. } in METHODS {
        if *open != Open::WhenLocked {
            assert!(call(&channel, path).await.is_err(), "{path}");
        }
    }
    assert!(matches!(node.phase(), ConfigPhase::Locked { .. }));
    assert_eq!(node.server.node.calls(), Vec::<String>::new(), "nothing was done");
}
