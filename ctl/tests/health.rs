//! Output and exit codes of `bedplate health`.

mod program;

use std::time::Duration;

use program::Ran;
use program::cluster::{Cluster, cluster};
use state::kinds::{ClusterNodeStatus, EtcdMemberStatus, HealthState};

#[tokio::test(flavor = "multi_thread")]
async fn health_says_how_the_worst_node_is_and_why() {
    let mut lab = cluster(&["node1", "node2"]).await;
    let health = async |lab: &Cluster| lab.run(&["health", "-o", "json"]).await;
    let states = |ran: &Ran| -> Vec<String> {
        let list = ran.json();
        let nodes = list.as_array().expect("a list");
        nodes
            .iter()
            .map(|node| node["result"]["state"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(states(&health(&lab).await.success()), ["healthy", "healthy"]);

    let lost = "DATA is only in memory: neither zeros nor a file system";
    lab.nodes[1]
        .node
        .set_problem("storage", HealthState::Degraded, lost);
    let ran = health(&lab).await.ended(3);
    assert_eq!(states(&ran), ["healthy", "degraded"]);
    assert_eq!(ran.json()[1]["result"]["reasons"][0]["text"], lost);
    assert_eq!(ran.json()[1]["result"]["reasons"][0]["state"], "degraded");
    let table = lab.run(&["health"]).await.ended(3);
    assert!(
        table.out.contains(&format!("storage  degraded  {lost}")),
        "{}",
        table.out
    );
    let address = lab.nodes[1].address.to_string();
    let status = tokio::task::block_in_place(|| lab.home.run(&["status", "-n", &address])).success();
    let expected = format!("Health:    degraded\n           storage: {lost}\n");
    assert!(status.out.contains(&expected), "{}", status.out);

    let broken =
        "unhealthy: containerd (its part io.containerd.metadata.v1.bolt did not load: invalid database)";
    lab.nodes[0]
        .node
        .set_problem("services", HealthState::Unhealthy, broken);
    let ran = health(&lab).await.ended(4);
    assert_eq!(states(&ran), ["unhealthy", "degraded"]);
    assert_eq!(ran.json()[0]["result"]["serving"], false);

    // The state of a node that does not answer is unknown.
    let away = lab.nodes.pop().expect("two of them").address.to_string();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let addresses = format!("{},{away}", lab.addresses());
    let ran = tokio::task::block_in_place(|| lab.home.run(&["health", "-n", &addresses])).failure();
    assert!(ran.err.contains("nothing listens"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_shows_the_whole_cluster_and_is_waited_for() {
    let lab = cluster(&["node1"]).await;
    let store = lab.nodes[0].store.clone();
    let put = |name: &str, problem: Option<&str>| {
        let status = ClusterNodeStatus {
            control_plane: name == "node1",
            problem: problem.map(str::to_owned),
            ..ClusterNodeStatus::default()
        };
        store.put("kubernetes-node", name, status).unwrap();
    };
    put("node1", None);
    put("node2", Some("not Ready: cni plugin not initialized"));
    let ran = lab.run(&["health"]).await.ended(3);
    for row in [
        "control plane node1  ready",
        "worker node2         not ready  not Ready: cni plugin not initialized",
    ] {
        assert!(ran.out.contains(row), "{}", ran.out);
    }
    // The time is over before the node is Ready; then it becomes so while it is waited for.
    lab.run(&["health", "--wait=1s"]).await.ended(3);
    let ready = ClusterNodeStatus::default();
    let later = tokio::spawn(async move { store.put("kubernetes-node", "node2", ready).unwrap() });
    let ran = lab.run(&["health", "--wait=1m", "-o", "json"]).await;
    later.await.unwrap();
    let cluster = &ran.success().json()["cluster"];
    assert_eq!(cluster[1]["name"], "node2");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_etcd_are_part_of_the_cluster_s_health() {
    let lab = cluster(&["node1"]).await;
    let store = &lab.nodes[0].store;
    let put = |name: &str, leader: bool, problem: Option<&str>| {
        let status = EtcdMemberStatus {
            leader,
            learner: false,
            problem: problem.map(str::to_owned),
        };
        store.put("etcd-membership", name, status).unwrap();
    };
    put("node1", true, None);
    put("node2", false, None);
    let ran = lab.run(&["health"]).await.success();
    assert!(ran.out.contains("etcd node1  healthy  leader"), "{}", ran.out);
    put("node2", false, Some("it does not answer"));
    let ran = lab.run(&["health"]).await.ended(3);
    assert!(
        ran.out.contains("etcd node2  unhealthy  it does not answer"),
        "{}",
        ran.out
    );
    let ran = lab.run(&["health", "-o", "json"]).await.ended(3);
    assert_eq!(ran.json()["etcd"][1]["problem"], "it does not answer");
    lab.run(&["health", "--wait=1s"]).await.ended(3);
    put("node2", false, None);
    lab.run(&["health", "--wait=1m"]).await.success();
}
