//! A cluster and a node to make components of.

use kubernetes::control_plane::Membership;
use kubernetes::tuning::Tuning;
use kubernetes::{Cluster, ControlPlane, EtcdRelease, Node};
use machine_config::value::ClusterNetworks;
use zeroize::Zeroizing;

/// Makes a cluster with the usual networks.
pub fn cluster(endpoint: &str) -> Cluster {
    let (name, endpoint) = ("home".parse().unwrap(), endpoint.parse().unwrap());
    Cluster::new(name, endpoint, None, ClusterNetworks::new(&[], &[]).unwrap())
}

/// Makes a node with one address.
pub fn node(cluster: &Cluster, name: &str, address: &str) -> Node {
    Node::new(cluster, name.parse().unwrap(), &[address.parse().unwrap()]).unwrap()
}

/// Makes the first control plane, on an etcd of this version.
pub fn plane(etcd: &str) -> ControlPlane {
    ControlPlane {
        etcd: EtcdRelease::of(etcd.parse().unwrap()).unwrap(),
        membership: Membership::First,
        cluster_id: "abcdefghjkmnpqrs".to_owned(),
        names: vec!["api.home.example".parse().unwrap()],
        encryption_key: Zeroizing::new([7; 32]),
        tuning: Tuning::default(),
    }
}
