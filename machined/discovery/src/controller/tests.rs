use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use state::testkit::settle_one;

use super::*;

/// A worker of a cluster.
pub(crate) fn config(hostname: &str, cluster: &str) -> MachineConfig {
    let mut config = state::testkit::config();
    config.machine.role = Role::Worker;
    config.machine.hostname = hostname.parse().ok();
    config.cluster.id = cluster.parse().ok();
    config
}

#[tokio::test]
async fn a_node_without_interfaces_says_nothing_and_keeps_nothing_of_others() {
    let store = Store::new();
    let foreign = ClusterPeer {
        node: "node2".to_owned(),
        control_plane: true,
        addresses: vec!["10.0.0.8".parse().unwrap()],
    };
    store.put("cluster-join", "cluster-join/node2", foreign).unwrap();
    store.put("config", NODE, config("node1", "home")).unwrap();
    settle_one(&store, &mut Discovery::default()).await.unwrap();
    assert_eq!(store.get::<DiscoveryStatus>(NODE), None);
    assert_eq!(store.list::<ClusterPeer>().len(), 1, "another's peer stays");
}
