//! A store with everything that a client is made from, for tests.

#![allow(clippy::unwrap_used)] // It is for tests.

use machine_config::v1alpha1::{CertificateAuthority, Role};
use machine_config::{MachineConfig, Secret};
use state::Store;
use state::kinds::{ClusterMember, ComponentCertificate, NODE};

/// Who writes what is put here.
pub const OWNER: &str = "test";

/// Puts a member of the cluster at this API server into a store, with these certificates and keys by name, such as
/// `bedplate/kubernetes`. `change` changes its machine config.
pub fn put_member(
    store: &Store,
    (node, control_plane): (&str, bool),
    (api, authority): (&str, &str),
    certificates: Vec<(&str, (String, String))>,
    change: impl FnOnce(&mut MachineConfig),
) {
    let mut config = state::testkit::config();
    config.machine.role = if control_plane {
        Role::ControlPlane
    } else {
        Role::Worker
    };
    config.cluster.ca = Some(CertificateAuthority {
        cert: authority.parse().unwrap(),
        key: None,
    });
    change(&mut config);
    let member = ClusterMember {
        cluster: "home".into(),
        node: node.into(),
        control_plane,
        addresses: Vec::new(),
        endpoint: api.into(),
        api: api.into(),
        pods: Vec::new(),
        services: Vec::new(),
        dns: Vec::new(),
        domain: "cluster.local".into(),
        kubernetes: "1.20.2".into(),
        etcd: None,
    };
    store.put(OWNER, NODE, config).unwrap();
    store.put(OWNER, NODE, member).unwrap();
    for (id, (certificate, key)) in certificates {
        let own = ComponentCertificate {
            certificate,
            key: Secret::new(key),
            names: Vec::new(),
            not_before: 0,
            not_after: u64::MAX,
        };
        store.put(OWNER, id, own).unwrap();
    }
}
