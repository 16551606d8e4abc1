//! The nodes of a real API server, reached by the balancer; see `control-plane-testkit` for what it needs.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::time::Duration;

use balancer::Balancer;
use control_plane_testkit::{Pair, Programs, RunningPlane, run};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kubernetes::identity::administrating_agent;
use kubernetes_client::{Clients, limited};
use machine_config::Secret;
use pod_network::ClusterNodes;
use state::kinds::{
    ApiBalancerStatus, ApiServers, ClusterMember, ClusterNode, ComponentCertificate, NODE, ServerHealth,
};
use state::{Resource, Runtime, Store};
use tokio_util::sync::CancellationToken;

/// The host may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

fn store(plane: &RunningPlane<'_>, (certificate, key): Pair) -> Store {
    let store = Store::new();
    let mut config = state::testkit::config();
    let cert = plane.authority().parse().unwrap();
    config.cluster.ca = Some(machine_config::v1alpha1::CertificateAuthority { cert, key: None });
    config.cluster.id = Some("8d1f2c".parse().unwrap());
    let member = ClusterMember {
        cluster: "home".to_owned(),
        node: "node1".to_owned(),
        control_plane: true,
        addresses: plane.node.addresses().to_vec(),
        endpoint: plane.api(),
        api: "https://127.0.0.1:7445".to_owned(),
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        services: vec!["10.96.0.0/12".parse().unwrap()],
        dns: Vec::new(),
        domain: "cluster.local".to_owned(),
        kubernetes: "1.20.2".to_owned(),
        etcd: None,
    };
    let own = ComponentCertificate {
        certificate,
        key: Secret::new(key),
        names: Vec::new(),
        not_before: 0,
        not_after: u64::MAX,
    };
    store.put("config", NODE, config).unwrap();
    store.put("member", NODE, member).unwrap();
    store.put("certificates", "bedplate/kubernetes", own).unwrap();
    store
}

/// Runs the controllers over a store until the token is cancelled.
fn start(store: &Store, file: &std::path::Path) -> CancellationToken {
    let stop = CancellationToken::new();
    let mut runtime = Runtime::new(store.clone());
    runtime
        .add(Balancer::default())
        .add(ClusterNodes::new(Clients::new(store.clone()), file.to_owned()));
    tokio::spawn(runtime.run(stop.clone()));
    stop
}

async fn until<R: Resource + std::fmt::Debug>(
    store: &Store,
    what: &str,
    good: impl Fn(&[(String, R)]) -> bool,
) {
    let mut watch = store.watch(&[R::KIND]);
    let wait = async {
        while !good(&store.list::<R>()) {
            watch.changed().await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("{what}: there is {:?}", store.list::<R>());
    }
}

fn is(statuses: &[(String, ApiBalancerStatus)], good: impl Fn(&ServerHealth) -> bool) -> bool {
    let mut servers = statuses.iter().flat_map(|(_, status)| &status.servers);
    servers.any(|server| good(&server.health))
}

async fn exercise(plane: &mut RunningPlane<'_>) {
    let (store, file) = (
        store(plane, plane.client(&administrating_agent(&plane.node))),
        plane.folder().join("cluster-nodes.json"),
    );
    let stop = start(&store, &file);
    until::<ApiBalancerStatus>(&store, "the server is ready", |all| {
        is(all, |health| *health == ServerHealth::Ready)
    })
    .await;
    let address = plane.api().trim_start_matches("https://").parse().unwrap();
    until::<ApiServers>(&store, "the server names itself", |all| {
        all.iter().any(|(_, servers)| servers.addresses == [address])
    })
    .await;

    let client = Clients::new(store.clone()).get().unwrap().client;
    let nodes: Api<Node> = Api::all(client);
    for number in [1, 2] {
        let text = format!(
            r#"{{"metadata": {{"name": "node{number}"}}, "spec": {{"podCIDR": "10.244.{number}.0/24", "podCIDRs": ["10.244.{number}.0/24"]}}}}"#
        );
        let node = serde_json::from_str(&text).unwrap();
        limited(nodes.create(&PostParams::default(), &node))
            .await
            .unwrap();
    }
    let named = |all: &[(String, ClusterNode)], names: &[&str]| {
        all.len() == names.len()
            && all
                .iter()
                .zip(names)
                .all(|((name, node), wanted)| name == wanted && node.pods.len() == 1)
    };
    until(&store, "both nodes", |all| named(all, &["node1", "node2"])).await;
    limited(nodes.delete("node2", &DeleteParams::default()))
        .await
        .unwrap();
    until(&store, "what is deleted is gone", |all| named(all, &["node1"])).await;

    plane.stop();
    until::<ApiBalancerStatus>(&store, "nobody is there", |all| {
        is(all, |health| matches!(health, ServerHealth::Down { .. }))
    })
    .await;
    assert!(named(&store.list(), &["node1"]), "what it named last stays");
    stop.cancel();

    // The node starts again, and there is still no API server.
    let again = self::store(plane, plane.client(&administrating_agent(&plane.node)));
    let stop = start(&again, &file);
    until(&again, "it is remembered", |all| named(all, &["node1"])).await;
    until::<ApiServers>(&again, "likewise", |all| {
        all.iter().any(|(_, servers)| servers.addresses == [address])
    })
    .await;
    stop.cancel();
}

#[test]
fn what_the_cluster_names_is_followed_by_the_balancer_and_remembered() {
    let Some(programs) = Programs::find() else { return };
    run(&programs, &[], |plane| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(exercise(plane));
    });
}
