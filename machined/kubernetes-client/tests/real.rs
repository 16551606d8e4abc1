//! The client against a real API server; see `control-plane-testkit` for what it needs.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use control_plane_testkit::{Pair, Programs, RunningPlane, run};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::Api;
use kube::api::{ListParams, PostParams};
use kubernetes::identity::{administrating_agent, agent};
use kubernetes_client::{Credentials, connect, limited};
use machine_config::Secret;

fn credentials(plane: &RunningPlane<'_>, (certificate, key): Pair) -> Credentials {
    Credentials {
        api: plane.api(),
        authority: plane.authority().to_owned(),
        certificate,
        key: Secret::new(key),
    }
}

#[test]
fn the_agent_is_known_by_its_certificate_and_trusts_the_cluster_only() {
    let Some(programs) = Programs::find() else { return };
    run(&programs, &[], |plane| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(check(plane));
    });
}

async fn check(plane: &RunningPlane<'_>) {
    let own = credentials(plane, plane.client(&administrating_agent(&plane.node)));
    let client = connect(&own).unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_str(r#"{"metadata": {"name": "node1"}}"#).unwrap();
    limited(nodes.create(&PostParams::default(), &node))
        .await
        .unwrap();
    let listed = limited(nodes.list(&ListParams::default())).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    let namespaces: Api<Namespace> = Api::all(client);
    limited(namespaces.list(&ListParams::default())).await.unwrap();

    // A worker's agent is somebody, who may do nothing before the manifests say what.
    let worker = connect(&credentials(plane, plane.client(&agent(&plane.node)))).unwrap();
    let refused = limited(Api::<Node>::all(worker).list(&ListParams::default())).await;
    let kube::Error::Api(status) = refused.unwrap_err() else {
        panic!("not refused by the API")
    };
    assert_eq!(status.code, 403);
    assert!(
        status.message.contains("bedplate:node:node1"),
        "{}",
        status.message
    );

    // Another cluster's API server is not spoken to.
    let stranger = pki::KubernetesSecrets::generate("other", std::time::SystemTime::now()).unwrap();
    let other = Credentials {
        authority: stranger.authority.certificate_pem().to_owned(),
        ..own
    };
    let refused = limited(Api::<Node>::all(connect(&other).unwrap()).list(&ListParams::default())).await;
    assert!(
        matches!(refused, Err(kube::Error::HyperError(_) | kube::Error::Service(_))),
        "{refused:?}"
    );
}
