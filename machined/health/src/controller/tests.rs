//! What is wrong with a node, and what that makes of it.

use std::sync::Arc;
use std::time::SystemTime;

use state::kinds::{
    BootStatus, CertificateStatus, ContainerStoreStatus, DiskStatus, EtcdDisk, FailedSlot, KeptStore,
    KubernetesNodeStatus, ManifestState, ManifestStatus, NODE, PodNetworkStatus, RoomStatus, ServiceHealth,
    ServiceState, VolumeState, VolumeStatus,
};
use state::testkit::settle_one;
use state::{ControllerState, ControllerStatus};
use sys::clock::RecordingClock;

use super::*;

mod cluster;

struct Bench {
    store: Store,
    clock: Arc<RecordingClock>,
    events: Events,
    health: NodeHealth,
}

impl Bench {
    /// A node that has run for an hour, and is healthy.
    fn new() -> Bench {
        let clock = Arc::new(RecordingClock::at(SystemTime::UNIX_EPOCH));
        clock.advance(Duration::from_secs(3600));
        let (store, events) = (Store::new(), Events::new());
        let health = NodeHealth::new(Box::new(clock.clone()), events.clone());
        store.put("api-check", NODE, ApiStatus::default()).unwrap();
        let network = NetworkStatus {
            ready: true,
            ..NetworkStatus::default()
        };
        store.put("network-health", NODE, network).unwrap();
        Bench {
            store,
            clock,
            events,
            health,
        }
    }

    async fn look(&mut self) -> HealthStatus {
        settle_one(&self.store, &mut self.health).await.unwrap();
        self.store.get(NODE).unwrap()
    }

    fn reported(&self) -> Vec<String> {
        let mut events = self.events.follow(None);
        std::iter::from_fn(|| events.try_next())
            .map(|read| read.item.message)
            .collect()
    }
}

fn volume(state: VolumeState) -> VolumeStatus {
    VolumeStatus {
        target: "/var".into(),
        device: None,
        size: 0,
        state,
    }
}

fn service(health: ServiceHealth) -> ServiceStatus {
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
    }
}

/// Each problem that there is, put into the store of a node that was healthy.
type Problem = (&'static str, fn(&Store), HealthState, &'static str);

const PROBLEMS: &[Problem] = &[
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

#[tokio::test]
async fn each_problem_has_its_reason_and_its_state() {
    for (source, cause, state, text) in PROBLEMS {
        let mut bench = Bench::new();
        assert_eq!(bench.look().await.state, HealthState::Healthy);
        cause(&bench.store);
        let status = bench.look().await;
        let [reason] = &status.reasons[..] else {
            panic!("{source}: {:?}", status.reasons)
        };
        let found = (reason.source.as_str(), reason.state, reason.text.as_str());
        assert_eq!(found, (*source, *state, *text));
        assert_eq!((status.state, reason.since_ms), (*state, 3_600_000));
        let reported = bench.reported();
        assert_eq!(
            reported.last().unwrap(),
            &format!("{source}: {text}"),
            "{reported:?}"
        );
    }
}

#[test]
fn every_source_has_a_problem_in_the_table() {
    for source in SOURCES {
        assert!(
            PROBLEMS
                .iter()
                .any(|(name, _, state, _)| *name == source.name && *state == HealthState::Degraded)
                || source.name == "services",
            "{} is never tried",
            source.name
        );
    }
}

#[tokio::test]
async fn what_is_not_required_degrades() {
    let mut bench = Bench::new();
    let mut config = state::testkit::config();
    config.machine.health.require = vec![machine_config::v1alpha1::Check::Api];
    bench.store.put("config", NODE, config).unwrap();
    let sick = service(ServiceHealth::Unhealthy);
    bench.store.put("services", "containerd", sick).unwrap();
    let status = bench.look().await;
    assert_eq!(status.state, HealthState::Degraded);
    assert_eq!(
        status.reasons[0].text,
        "containerd is unhealthy: its store is broken"
    );
    assert!(status.meets_requirements() && status.keepable_since().is_some());
}

#[tokio::test]
async fn a_break_starts_the_while_anew_and_the_same_trouble_keeps_its_time() {
    let mut bench = Bench::new();
    assert_eq!(bench.look().await.well_since_ms, Some(3_600_000));
    bench.clock.advance(Duration::from_secs(1));
    let sick = service(ServiceHealth::Unhealthy);
    bench.store.put("services", "containerd", sick.clone()).unwrap();
    assert_eq!(bench.look().await.well_since_ms, None);
    bench.clock.advance(Duration::from_secs(1));
    let other = ServiceStatus {
        message: "2 of 3 checks failed".into(),
        ..sick
    };
    bench.store.put("services", "containerd", other).unwrap();
    assert_eq!(bench.look().await.reasons[0].since_ms, 3_601_000);
    let healthy = service(ServiceHealth::Healthy);
    bench.store.put("services", "containerd", healthy).unwrap();
    assert_eq!(bench.look().await.well_since_ms, Some(3_602_000));
    assert_eq!(bench.reported().last().unwrap(), "the node is healthy");
}
