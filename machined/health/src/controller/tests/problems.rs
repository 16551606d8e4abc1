//! Every problem that a node can have, and what it makes of the node.

use super::*;

pub(super) fn volume(state: VolumeState) -> VolumeStatus {
    VolumeStatus {
        target: "/var".into(),
        device: None,
        size: 0,
        state,
    }
}

pub(super) fn service(health: ServiceHealth) -> ServiceStatus {
    ServiceStatus {
        state: ServiceState::Running,
        health,
        message: "its store is broken".into(),
        pid: Some(7),
        restarts: 0,
        since_ms: 0,
        cgroup: String::new(),
        wanted: true,
        last_exit: None,
        rights: None,
        memory_bytes: None,
        written_bytes: None,
        written_last_hour_bytes: None,
    }
}

/// Each problem that there is, put into the store of a node that was healthy.
pub(super) type Problem = (&'static str, fn(&Store), HealthState, &'static str);

pub(super) const PROBLEMS: &[Problem] = &[
    (
        "storage",
        |store| {
            let reason = "neither zeros nor a file system".to_owned();
            store
                .put("storage", "DATA", volume(VolumeState::Volatile { reason }))
                .unwrap();
        },
        HealthState::Degraded,
        "DATA is only in memory: neither zeros nor a file system",
    ),
    (
        "room",
        |store| {
            let status = RoomStatus {
                free_percent: 1,
                full: true,
            };
            store.put("room", "DATA", status).unwrap();
        },
        HealthState::Degraded,
        "DATA is full: 1 % is free",
    ),
    (
        "config",
        |store| {
            let status = ConfigStatus {
                phase: Phase::Maintenance,
                generation: 0,
                pending: None,
                problems: vec!["CONFIG holds no config".into()],
            };
            store.put("config", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "CONFIG holds no config",
    ),
    (
        "disk",
        |store| {
            let status = DiskStatus {
                device: "mmcblk0".into(),
                guid: "1".into(),
                serial: None,
                copies: vec!["sda".into()],
            };
            store.put("disk", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "sda holds a copy of this node's disk mmcblk0: remove it, or erase it if nothing on it matters",
    ),
    (
        "firmware",
        |store| {
            let file = FirmwareFile {
                path: "u-boot.bin".into(),
                difference: FirmwareDifference::Changed,
            };
            let status = FirmwareStatus {
                differences: vec![file],
                ..FirmwareStatus::default()
            };
            store.put("firmware", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "u-boot.bin on the EFI system partition is not that of the release: `bedplate firmware repair` puts it right",
    ),
    (
        "etcd-disk",
        |store| {
            let disk = EtcdDisk {
                flush_micros: 812_000,
                problem: Some("a flush of etcd's disk takes 812 ms".into()),
            };
            store.put("etcd-disk", NODE, disk).unwrap();
        },
        HealthState::Degraded,
        "a flush of etcd's disk takes 812 ms",
    ),
    (
        "etcd-snapshots",
        |store| {
            let status = EtcdSnapshotStatus {
                problem: Some("no snapshot of etcd was taken: etcd gives none".into()),
                ..EtcdSnapshotStatus::default()
            };
            store.put("etcd-snapshots", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "no snapshot of etcd was taken: etcd gives none",
    ),
    (
        "certificate",
        |store| {
            let status = CertificateStatus {
                mutual: true,
                signed: false,
                fingerprint: String::new(),
                names: vec![],
                not_before: 0,
                not_after: 1,
                remark: None,
                problem: Some("the API's certificate cannot be made".into()),
            };
            store
                .put("certificate", state::kinds::certificate::ID, status)
                .unwrap();
        },
        HealthState::Degraded,
        "the API's certificate cannot be made",
    ),
    (
        "boot",
        |store| {
            let failed = FailedSlot {
                slot: slots::Slot::B,
                reason: "it has no tries left".into(),
            };
            let status = BootStatus {
                failed: vec![failed],
                ..BootStatus::default()
            };
            store.put("boot", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "slot b was refused at this start: it has no tries left",
    ),
    (
        "network",
        |store| {
            let status = NetworkStatus {
                ready: true,
                problems: vec!["there is no interface eth7".into()],
                ..NetworkStatus::default()
            };
            store.put("network-health", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "there is no interface eth7",
    ),
    (
        "network",
        |store| {
            store
                .put("network-health", NODE, NetworkStatus::default())
                .unwrap();
        },
        HealthState::Unhealthy,
        "the network is not ready",
    ),
    (
        "time",
        |store| {
            let json = serde_json::json!({
                "synchronised": false, "source": "rtc", "server": null, "offsetNanos": 0,
                "lastSyncUnix": null, "servers": ["x"], "serversFrom": "default", "reason": "no reply",
            });
            let time: TimeStatus = serde_json::from_value(json).unwrap();
            store.put("time", state::kinds::NODE, time).unwrap();
        },
        HealthState::Degraded,
        "the clock is not in step with a server: no reply",
    ),
    (
        "services",
        |store| {
            store
                .put("services", "containerd", service(ServiceHealth::Unhealthy))
                .unwrap();
        },
        HealthState::Unhealthy,
        "unhealthy: containerd (its store is broken)",
    ),
    (
        "api",
        |store| {
            let problem = Some("it refuses a handshake".to_owned());
            let status = ApiStatus {
                problem,
                fingerprint: None,
            };
            store.put("api-check", NODE, status).unwrap();
        },
        HealthState::Unhealthy,
        "it refuses a handshake",
    ),
    (
        "containers",
        |store| {
            let kept = KeptStore {
                path: "/var/lib/containerd.aside/1".into(),
                reason: "database meta.db is damaged".into(),
                unix: 0,
            };
            let status = ContainerStoreStatus { kept: vec![kept] };
            store.put("container-store", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "the container store was damaged and was replaced (database meta.db is damaged); the old one is kept in \
         /var/lib/containerd.aside/1 for a week",
    ),
    (
        "cluster",
        |store| {
            let status = KubernetesNodeStatus {
                problem: Some("not Ready: no CNI".into()),
                ..KubernetesNodeStatus::default()
            };
            store.put("kubernetes-node", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "not Ready: no CNI",
    ),
    (
        "pods",
        |store| {
            let status = PodNetworkStatus {
                problems: vec!["the pods of node node4 cannot be reached".into()],
                ..PodNetworkStatus::default()
            };
            store.put("pod-network", NODE, status).unwrap();
        },
        HealthState::Degraded,
        "the pods of node node4 cannot be reached",
    ),
    (
        "manifests",
        |store| {
            let status = ManifestStatus {
                order: 1,
                source: "machine config".into(),
                objects: 1,
                state: ManifestState::Failed,
                message: Some("Pod a/b: no".into()),
            };
            store.put("cluster-manifests", "attic", status).unwrap();
        },
        HealthState::Degraded,
        "attic: Pod a/b: no",
    ),
    (
        "workloads",
        |store| {
            let status = WorkloadStatus {
                service: "workload-camera".into(),
                stage: WorkloadStage::RolledBack,
                image: "r.example.org/camera:2".into(),
                runs: Some("r.example.org/camera:1".into()),
                digest: None,
                problem: Some("did not get healthy with r.example.org/camera:2".into()),
            };
            store.put("workloads", "camera", status).unwrap();
        },
        HealthState::Degraded,
        "camera: did not get healthy with r.example.org/camera:2",
    ),
    (
        "controllers",
        |store| {
            let state = ControllerState::Failing {
                error: "no key".into(),
                attempts: 3,
            };
            let status = ControllerStatus {
                state,
                inputs: vec![],
                outputs: vec![],
                failures: 3,
                panics: 0,
            };
            store.put("runtime", "certificate", status).unwrap();
        },
        HealthState::Degraded,
        "certificate: no key",
    ),
];
