//! A node that was Ready in its cluster.

use super::*;

#[tokio::test]
async fn a_node_that_was_ready_in_its_cluster_must_be_ready_again() {
    let mut bench = Bench::new();
    let mut config = state::testkit::config();
    config.machine.role = machine_config::v1alpha1::Role::Worker;
    config.cluster.ca = Some(config.machine.ca.clone());
    bench.store.put("config", NODE, config).unwrap();
    let look = async |bench: &mut Bench, status: Option<KubernetesNodeStatus>| {
        if let Some(status) = status {
            bench.store.put("kubernetes-node", NODE, status).unwrap();
        }
        let health = bench.look().await;
        let check = health
            .checks
            .iter()
            .find(|check| check.name == "cluster")
            .cloned();
        (health.keepable_since().is_some(), check.unwrap().message)
    };
    let status = |ready, was_ready| KubernetesNodeStatus {
        ready,
        was_ready,
        problem: (!ready).then(|| "not Ready: no CNI".to_owned()),
        cordoned: false,
    };
    let (kept, message) = look(&mut bench, None).await;
    assert!(!kept && message.starts_with("nothing is known"), "{message}");
    // One that never was must not keep its first upgrade from being kept.
    assert!(look(&mut bench, Some(status(false, false))).await.0);
    assert!(look(&mut bench, Some(status(true, true))).await.0);
    let (kept, message) = look(&mut bench, Some(status(false, true))).await;
    assert_eq!((kept, message.as_str()), (false, "not Ready: no CNI"));
    // What the node itself waits for is the cause of what the API server says.
    let why = "etcd has no quorum: node2 at 10.0.0.2 does not answer; start it";
    let waits = ClusterStatus {
        waits_for: Some(why.to_owned()),
    };
    bench.store.put("cluster-services", NODE, waits).unwrap();
    let (kept, message) = look(&mut bench, None).await;
    assert_eq!((kept, message.as_str()), (false, why));
}
