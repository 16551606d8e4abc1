//! The controller and the handle together, on temporary folders.

use std::fs;

use backend::{BackendError, Etcd as _};
use machine_config::MachineConfig;
use node::Node;
use node::children::Children;
use release_file::Release;
use state::kinds::{
    ClusterMember, ClusterStatus, EtcdDisk, EtcdMembership, EtcdStart, NODE, ServiceHealth, ServiceState,
    ServiceStatus, Volume, VolumeState, VolumeStatus,
};
use state::testkit::settle_one;
use tempfile::TempDir;

use crate::{EtcdHandle, Note, Places, Ports, Restorer};

/// A control plane whose DATA is ready, and that knows what it is.
struct Lab {
    node: Node,
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self {
            node: Node::new(Release::default()),
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(lab.places().state).unwrap();
        let ready = VolumeState::Ready {
            formatted: false,
            repaired: false,
        };
        lab.set_data(ready);
        lab.set_config("controlPlane");
        let member = ClusterMember {
            cluster: "home".into(),
            node: "node1".into(),
            control_plane: true,
            addresses: vec!["192.0.2.7".parse().unwrap()],
            endpoint: "https://192.0.2.7:6443".into(),
            api: "https://192.0.2.7:6443".into(),
            pods: Vec::new(),
            services: Vec::new(),
            dns: Vec::new(),
            domain: "cluster.local".into(),
            kubernetes: "1.36.2".into(),
            etcd: Some("3.5.16".into()),
        };
        lab.node.store.put("cluster-member", NODE, member).unwrap();
        let disk = EtcdDisk {
            flush_micros: 1000,
            problem: None,
        };
        lab.node.store.put("etcd-disk", NODE, disk).unwrap();
        lab
    }

    fn places(&self) -> Places {
        Places::below(self.folder.path())
    }

    fn handle(&self) -> EtcdHandle {
        let restorer = Restorer::new(Children::new(), "/nowhere");
        EtcdHandle::new(&self.node, self.places(), Ports { client: 1, peer: 1 }, restorer)
    }

    fn set_data(&self, state: VolumeState) {
        let status = VolumeStatus {
            target: "/var".into(),
            device: None,
            size: 0,
            state,
        };
        let name = Volume::Data.partition();
        self.node.store.put("storage", name, status).unwrap();
    }

    fn set_config(&self, role: &str) {
        let mut config: MachineConfig = state::testkit::config();
        config.machine.role = machine_config::v1alpha1::Role::ALL
            .iter()
            .find_map(|(word, role_of)| (*word == role).then_some(*role_of))
            .unwrap();
        config.cluster.id = Some("home-id".parse().unwrap());
        self.node.store.put("config", NODE, config).unwrap();
    }

    fn etcd_is_healthy(&self) {
        let status = ServiceStatus {
            state: ServiceState::Running,
            health: ServiceHealth::Healthy,
            message: String::new(),
            pid: None,
            restarts: 0,
            since_ms: 0,
            cgroup: String::new(),
            wanted: true,
            last_exit: None,
            memory_bytes: None,
            written_bytes: None,
            written_last_hour_bytes: None,
            rights: None,
        };
        self.node.store.put("services", "etcd", status).unwrap();
    }

    fn etcd_writes(&self, kind: u8) {
        let wal = self.places().data.join("member/wal");
        fs::create_dir_all(&wal).unwrap();
        let record = [6, 0, 0, 0, 0, 0, 0, 0x82, 8, kind, 16, 1, 26, 0, 0, 0];
        fs::write(wal.join("0-0.wal"), record).unwrap();
    }

    /// Starts the machine, and returns how etcd is to start.
    async fn start(&self) -> EtcdMembership {
        self.node
            .store
            .remove::<EtcdMembership>("etcd-membership", NODE)
            .unwrap();
        self.run().await
    }

    async fn run(&self) -> EtcdMembership {
        let mut controller = self.handle().controller();
        settle_one(&self.node.store, &mut controller).await.unwrap();
        self.node.store.get(NODE).unwrap()
    }

    async fn refusal(&self) -> String {
        match self.handle().bootstrap().await.unwrap_err() {
            BackendError::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_request_begins_the_cluster_and_survives_any_cut() {
    let lab = Lab::new();
    let found = lab.start().await;
    assert_eq!(found.start, EtcdStart::NotYet);
    assert!(found.waits_for.unwrap().contains("no authority of etcd"));
    let error = lab.handle().bootstrap().await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Unavailable(why) if why.contains("not issued yet")),
        "{error}"
    );
    lab.places().request_bootstrap("home-id").unwrap();
    assert_eq!(lab.run().await.start, EtcdStart::First);
    // The machine loses its power before etcd was started, and after etcd had made its log.
    assert_eq!(lab.start().await.start, EtcdStart::First);
    lab.etcd_writes(1);
    assert_eq!(lab.start().await.start, EtcdStart::First);
    assert!(!lab.places().data.join("member/wal").exists());
    // It has written something, which nobody may have seen.
    lab.etcd_writes(2);
    assert_eq!(lab.start().await.start, EtcdStart::Joins(Vec::new()));
    assert!(lab.places().bootstrap().is_some());
    lab.etcd_is_healthy();
    assert_eq!(lab.run().await.start, EtcdStart::Joins(Vec::new()));
    assert_eq!(
        lab.places().bootstrap(),
        None,
        "a wiped DATA begins no second cluster"
    );
    fs::remove_dir_all(lab.places().data).unwrap();
    assert_eq!(lab.start().await.start, EtcdStart::NotYet);
}

#[tokio::test]
async fn a_second_bootstrap_and_one_elsewhere_are_refused() {
    let lab = Lab::new();
    lab.set_config("worker");
    assert!(lab.refusal().await.contains("call a control plane"));
    lab.set_config("standalone");
    assert!(lab.refusal().await.contains("belongs to no cluster"));
    lab.set_config("controlPlane");
    let reason = "the disk is broken".to_owned();
    lab.set_data(VolumeState::Volatile { reason });
    assert!(
        lab.refusal()
            .await
            .contains("only in memory (the disk is broken)")
    );
    let ready = VolumeState::Ready {
        formatted: false,
        repaired: false,
    };
    lab.set_data(ready);
    lab.places().request_bootstrap("home-id").unwrap();
    assert!(
        lab.refusal()
            .await
            .contains("asked to bootstrap the cluster before")
    );
    lab.places().forget_bootstrap().unwrap();
    lab.etcd_writes(2);
    assert!(lab.refusal().await.contains("etcd has data on this node"));
}

#[tokio::test]
async fn a_node_that_waits_says_so_and_one_without_an_authority_is_refused() {
    let lab = Lab::new();
    lab.node
        .store
        .remove::<ClusterMember>("cluster-member", NODE)
        .unwrap();
    let status = ClusterStatus {
        waits_for: Some("node node1 has no address of its own yet".into()),
    };
    lab.node.store.put("cluster-status", NODE, status).unwrap();
    let expected =
        "the node is not ready to be a control plane yet: node node1 has no address of its own yet";
    assert_eq!(
        lab.handle().bootstrap().await.unwrap_err(),
        BackendError::Unavailable(expected.into())
    );
    lab.node
        .store
        .put("cluster-status", NODE, ClusterStatus::default())
        .unwrap();
    assert!(lab.refusal().await.contains("has no cluster.ca"));
}

#[tokio::test]
async fn data_of_another_cluster_are_left_alone() {
    let lab = Lab::new();
    lab.etcd_writes(2);
    let away = Note {
        cluster: "away".into(),
        ..Note::default()
    };
    lab.places().set_note(&away).unwrap();
    let found = lab.start().await;
    assert_eq!(found.start, EtcdStart::NotYet);
    assert!(
        found
            .waits_for
            .unwrap()
            .contains("another cluster (away, not home-id)")
    );
    assert_eq!(lab.places().note(), Some(away));
}
