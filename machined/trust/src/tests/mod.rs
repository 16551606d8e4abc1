//! Control planes and workers over TLS, with everything between them.

pub(crate) mod bench;
mod discovered;
mod flood;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use kubernetes::identity;
use pki::authority::SERVER_LIFE;
use pki::{Certificate, NodeClock, Validity};
use state::kinds::{ClusterPeer, ComponentCertificate, NODE};

use crate::living::Living;
use crate::policy::API;
use bench::{Home, Worker, config, tell};

const DAY: u64 = 86_400;

#[tokio::test]
async fn a_worker_gets_its_certificates_and_keeps_them_over_a_restart() {
    let (home, disk) = (Home::start().await, tempfile::tempdir().unwrap());
    let disk = disk.path().join("cluster");
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", &home.secrets.token, &disk);
    assert_eq!(worker.run().await, None);
    let wanted = [
        API,
        "bedplate/kubernetes",
        "kube-proxy/kube-proxy",
        "kubelet/kubelet",
        "kubelet/kubelet-client",
    ];
    let names: Vec<String> = worker
        .store
        .list::<ComponentCertificate>()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, wanted);
    let kubernetes = &home.secrets.kubernetes.as_ref().unwrap().authority;
    for which in wanted {
        let held = worker.certificate(which).unwrap();
        let authority = if which == API {
            &home.secrets.authority
        } else {
            kubernetes
        };
        let made = Certificate::from_pem(&held.certificate, "the test").unwrap();
        assert_eq!(
            made.details().issuer,
            authority.certificate().details().name,
            "{which}"
        );
        let life = made
            .details()
            .not_after
            .duration_since(SystemTime::now())
            .unwrap();
        assert!(life <= SERVER_LIFE, "{which} lives {life:?}");
        pki::Client::mutual(authority.certificate_pem(), &held.certificate, held.key.expose()).unwrap();
    }
    let serving = worker.certificate("kubelet/kubelet").unwrap();
    let made = Certificate::from_pem(&serving.certificate, "the test").unwrap();
    assert_eq!(made.details().alternative_names, ["worker", "192.0.2.7"]);
    let peers = worker.store.list::<ClusterPeer>();
    assert_eq!((peers.len(), peers[0].1.node.as_str()), (1, "plane1"));
    for file in ["node.key", "certificates.json"] {
        let mode = disk.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(
        home.said().contains("signed 5 certificates of node worker"),
        "{}",
        home.said()
    );
    let before = worker.certificate("kubelet/kubelet");
    worker.run().await;
    assert_eq!(
        worker.certificate("kubelet/kubelet"),
        before,
        "it is not renewed yet"
    );

    // The control plane is gone, and the worker starts again.
    let token = home.secrets.token.to_string();
    let mut again = Worker::new(&home, "worker", "192.0.2.7", &token, &disk);
    drop(home);
    assert_eq!(again.run().await, None);
    assert_eq!(again.certificate("kubelet/kubelet"), before);
    // With another address it needs others, and keeps those that it has until it gets them.
    tell(
        &again.store,
        again.store.get(NODE).unwrap(),
        "worker",
        "192.0.2.8",
    );
    let waits = again.run().await.unwrap();
    assert!(
        waits.starts_with("control plane 127.0.0.1 does not answer on port"),
        "{waits}"
    );
    assert_eq!(again.certificate("kubelet/kubelet"), before);
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_told_on_both_sides() {
    let (home, disk) = (Home::start().await, tempfile::tempdir().unwrap());
    let wrong = "0123456789abcdef.thisiswrong";
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", wrong, disk.path());
    let waits = worker.run().await.unwrap();
    assert_eq!(
        waits,
        "control plane 127.0.0.1 refuses: the token is wrong; set machine.token to that of the cluster's control planes"
    );
    assert_eq!(worker.count(), 0);
    let said = home.said();
    assert_eq!(
        said,
        "a node at 127.0.0.1 asked to join with a wrong token, and was refused"
    );
    assert!(!said.contains(wrong) && !said.contains(home.secrets.token.as_str()));
    // With the right one it goes on at once.
    let config = config(&home.secrets, "worker", &home.secrets.token, "worker");
    worker.store.put("config", NODE, config).unwrap();
    assert_eq!(worker.run().await, None);
    assert_eq!(worker.count(), 5);
}

#[tokio::test]
async fn the_name_of_another_node_is_refused_to_thieves_of_token_and_certificate() {
    let (home, disks) = (Home::start().await, tempfile::tempdir().unwrap());
    let disk = |name: &str| disks.path().join(name);
    let token = home.secrets.token.as_str();
    let mut first = Worker::new(&home, "first", "192.0.2.7", token, &disk("first"));
    assert_eq!(first.run().await, None);
    // With the token, and a disk of its own.
    let mut thief = Worker::new(&home, "first", "192.0.2.66", token, &disk("thief"));
    let waits = thief.run().await.unwrap();
    assert!(
        waits.contains("another node is called first and was last here with the address 192.0.2.7"),
        "{waits}"
    );
    let mut thief = Worker::new(&home, "other", "192.0.2.7", token, &disk("thief"));
    let waits = thief.run().await.unwrap();
    assert!(
        waits.contains("192.0.2.7 is the address of node first"),
        "{waits}"
    );
    for (name, address, expected) in [
        ("plane1", "192.0.2.66", "plane1 is the name of a control plane"),
        ("other", "192.0.2.1", "set cluster.subnets"),
    ] {
        let mut thief = Worker::new(&home, name, address, token, &disk("thief"));
        let waits = thief.run().await.unwrap();
        assert!(waits.contains(expected), "{waits}");
    }
    // With the whole disk of the first, but not the token: its certificate is another's.
    std::fs::create_dir(disk("stolen")).unwrap();
    for file in ["node.key", "certificates.json"] {
        std::fs::copy(disk("first").join(file), disk("stolen").join(file)).unwrap();
    }
    let mut thief = Worker::new(
        &home,
        "other",
        "192.0.2.66",
        "wrong.tokenentirely",
        &disk("stolen"),
    );
    let waits = thief.run().await.unwrap();
    assert!(waits.contains("the token is wrong"), "{waits}");
    let refused = "the certificate of \"bedplate:node:first\" renews nothing for node other";
    assert!(home.said().contains(refused), "{}", home.said());
    let got = thief.store.list::<ComponentCertificate>();
    assert!(
        got.iter()
            .all(|(_, held)| held.names.iter().all(|name| !name.contains("other"))),
        "{got:?}"
    );
}

#[tokio::test]
async fn a_node_renews_by_its_certificate_when_the_token_was_replaced_and_by_the_token_when_that_expired() {
    let (home, disk) = (Home::start().await, tempfile::tempdir().unwrap());
    let token = home.secrets.token.as_str();
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", token, disk.path());
    assert_eq!(worker.run().await, None);
    let before = worker.certificate("bedplate/kubernetes").unwrap();

    let replaced = config(&home.secrets, "controlPlane", "another.tokenentirely", "plane1");
    home.store.put("config", NODE, replaced).unwrap();
    let aged = |by: u64| {
        let path = disk.path().join("certificates.json");
        let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for held in kept["certificates"].as_object_mut().unwrap().values_mut() {
            for edge in ["notBefore", "notAfter"] {
                held[edge] = (held[edge].as_u64().unwrap() - by).into();
            }
        }
        std::fs::write(&path, kept.to_string()).unwrap();
    };
    aged(DAY * 3 / 4);
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", token, disk.path());
    while worker.run().await.is_some() {
        // The control plane may still serve with the old one.
        tokio::task::yield_now().await;
    }
    let renewed = worker.certificate("bedplate/kubernetes").unwrap();
    assert_ne!(renewed.key, before.key, "with a new key");
    let own = |held: &ComponentCertificate| held.not_after > before.not_after - 60;
    assert!(own(&renewed));

    // A year later nothing is valid any more: only a token helps.
    aged(DAY * 365);
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", token, disk.path());
    let waits = worker.run().await.unwrap();
    assert!(waits.contains("the token is wrong"), "{waits}");
    assert_eq!(worker.count(), 0, "what has expired is not used");
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", "another.tokenentirely", disk.path());
    assert_eq!(worker.run().await, None);
    assert!(own(&worker.certificate("bedplate/kubernetes").unwrap()));
}

#[tokio::test]
async fn a_certificate_that_the_control_plane_does_not_accept_keeps_no_token_out() {
    let (home, disk) = (Home::start().await, tempfile::tempdir().unwrap());
    let token = home.secrets.token.as_str();
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", token, disk.path());
    assert_eq!(worker.run().await, None);
    // The clock of the worker is behind: it takes its old certificate for a good one.
    let kubernetes = &home.secrets.kubernetes.as_ref().unwrap().authority;
    let old = Validity::starting(SystemTime::now() - 30 * SERVER_LIFE, SERVER_LIFE);
    let issued = kubernetes
        .issue_client("bedplate:node:worker", identity::AGENTS, old)
        .unwrap();
    let path = disk.path().join("certificates.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let held = &mut kept["certificates"]["bedplate/kubernetes"];
    held["certificate"] = issued.pem.clone().into();
    held["key"] = issued.key.to_pem().as_str().into();
    kept["certificates"].as_object_mut().unwrap().remove(API);
    std::fs::write(&path, kept.to_string()).unwrap();
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", token, disk.path());
    assert_eq!(worker.run().await, None);
    assert_eq!(worker.count(), 5);
}

#[tokio::test]
async fn a_worker_without_a_clock_joins() {
    let (home, disk) = (Home::start().await, tempfile::tempdir().unwrap());
    let clock = NodeClock::new();
    clock.raise_floor(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1));
    let token = home.secrets.token.as_str();
    let mut worker = Worker::with_clock(&home, "worker", "192.0.2.7", token, disk.path(), clock);
    assert_eq!(worker.run().await, None);
    assert_eq!(worker.count(), 5);
}

#[tokio::test]
async fn a_server_that_is_not_of_the_cluster_gets_no_token() {
    let (home, away, disk) = (
        Home::start().await,
        Home::start().await,
        tempfile::tempdir().unwrap(),
    );
    let token = home.secrets.token.as_str();
    let mut worker = Worker::new(&home, "worker", "192.0.2.7", token, disk.path());
    worker.controller = worker.controller.on_port(away.address.port());
    let waits = worker.run().await.unwrap();
    assert!(
        waits.starts_with("127.0.0.1 is not accepted as a control plane of this cluster"),
        "{waits}"
    );
    assert_eq!(away.said(), "", "it never heard of it");
}

/// All nodes are gone.
struct Gone;

#[async_trait::async_trait]
impl Living for Gone {
    async fn lives(&self, _: &str, _: u64, _: pki::Moment) -> bool {
        false
    }
}

#[tokio::test]
async fn a_board_that_replaces_one_that_is_gone_gets_its_name() {
    let (home, disks) = (
        Home::start_with(Arc::new(Gone)).await,
        tempfile::tempdir().unwrap(),
    );
    let token = home.secrets.token.as_str();
    let mut old = Worker::new(&home, "worker", "192.0.2.7", token, &disks.path().join("old"));
    assert_eq!(old.run().await, None);
    let mut new = Worker::new(&home, "worker", "192.0.2.8", token, &disks.path().join("new"));
    assert_eq!(new.run().await, None);
    let said = home.said();
    assert!(
        said.contains("node worker is gone, and another machine has its name"),
        "{said}"
    );
}
