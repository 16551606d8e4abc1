//! The table of problems: what is wrong with a node besides what its config requires.

use std::time::Duration;

use state::kinds::health::STORAGE;
use state::kinds::{
    BootStatus, CertificateStatus, ClusterStatus, ConfigStatus, ContainerStoreStatus, DiskStatus, EtcdDisk,
    EtcdSnapshotStatus, FirmwareStatus, KubernetesNodeStatus, ManifestState, ManifestStatus, NODE,
    NetworkStatus, PodNetworkStatus, RoomStatus, ServiceStatus, TimeStatus, VolumeState, VolumeStatus,
    WorkloadStage, WorkloadStatus,
};
use state::{ControllerState, ControllerStatus, Resource, Store};

/// How often in a row a controller fails before that is a problem: some fail once while others are starting.
const FAILURES: u32 = 3;
/// How long after the start services and clock may still be on their way. What is required of them is judged at once.
pub(super) const STARTING: Duration = Duration::from_secs(120);

/// A place where problems show.
pub(super) struct Source {
    /// Its name in reasons. One that is also the name of a check is left to that check while it fails.
    pub name: &'static str,
    /// The kind it reads.
    pub kind: &'static str,
    /// Lists its problems, one sentence each, so long after the kernel started.
    pub look: fn(&Store, Duration) -> Vec<String>,
}

/// Every place where problems show.
pub(super) const SOURCES: &[Source] = &[
    Source {
        name: STORAGE,
        kind: VolumeStatus::KIND,
        look: volumes,
    },
    Source {
        name: "room",
        kind: RoomStatus::KIND,
        look: room,
    },
    Source {
        name: "disk",
        kind: DiskStatus::KIND,
        look: disk,
    },
    Source {
        name: "firmware",
        kind: FirmwareStatus::KIND,
        look: firmware,
    },
    Source {
        name: "config",
        kind: ConfigStatus::KIND,
        look: config,
    },
    Source {
        name: "certificate",
        kind: CertificateStatus::KIND,
        look: certificate,
    },
    Source {
        name: "boot",
        kind: BootStatus::KIND,
        look: boot,
    },
    Source {
        name: "network",
        kind: NetworkStatus::KIND,
        look: network,
    },
    Source {
        name: "time",
        kind: TimeStatus::KIND,
        look: time,
    },
    Source {
        name: "services",
        kind: ServiceStatus::KIND,
        look: services,
    },
    Source {
        name: "workloads",
        kind: WorkloadStatus::KIND,
        look: workloads,
    },
    Source {
        name: "containers",
        kind: ContainerStoreStatus::KIND,
        look: containers,
    },
    Source {
        name: "cluster",
        kind: KubernetesNodeStatus::KIND,
        look: cluster,
    },
    Source {
        name: "pods",
        kind: PodNetworkStatus::KIND,
        look: pods,
    },
    Source {
        name: "manifests",
        kind: ManifestStatus::KIND,
        look: manifests,
    },
    Source {
        name: "etcd-disk",
        kind: EtcdDisk::KIND,
        look: etcd_disk,
    },
    Source {
        name: "etcd-snapshots",
        kind: EtcdSnapshotStatus::KIND,
        look: etcd_snapshots,
    },
    Source {
        name: "controllers",
        kind: ControllerStatus::KIND,
        look: controllers,
    },
];

fn volumes(store: &Store, _: Duration) -> Vec<String> {
    let all = store.list::<VolumeStatus>().into_iter();
    all.filter_map(|(name, status)| match status.state {
        VolumeState::Failed { error } => Some(format!("{name} cannot be used: {error}")),
        VolumeState::Volatile { reason } => Some(format!("{name} is only in memory: {reason}")),
        VolumeState::Preparing | VolumeState::Ready { .. } => None,
    })
    .collect()
}

fn etcd_disk(store: &Store, _: Duration) -> Vec<String> {
    let disk: Option<EtcdDisk> = store.get(NODE);
    disk.and_then(|disk| disk.problem).into_iter().collect()
}

fn etcd_snapshots(store: &Store, _: Duration) -> Vec<String> {
    let status: Option<EtcdSnapshotStatus> = store.get(NODE);
    status.and_then(|status| status.problem).into_iter().collect()
}

fn room(store: &Store, _: Duration) -> Vec<String> {
    let all = store.list::<RoomStatus>().into_iter();
    all.filter(|(_, status)| status.full)
        .map(|(name, status)| format!("{name} is full: {} % is free", status.free_percent))
        .collect()
}

fn disk(store: &Store, _: Duration) -> Vec<String> {
    let status: Option<DiskStatus> = store.get(NODE);
    status.and_then(|status| status.problem()).into_iter().collect()
}

fn firmware(store: &Store, _: Duration) -> Vec<String> {
    let status: Option<FirmwareStatus> = store.get(NODE);
    status.map(|status| status.problems()).unwrap_or_default()
}

fn config(store: &Store, _: Duration) -> Vec<String> {
    let status: Option<ConfigStatus> = store.get(NODE);
    status.map(|status| status.problems).unwrap_or_default()
}

fn certificate(store: &Store, _: Duration) -> Vec<String> {
    let status: Option<CertificateStatus> = store.get(state::kinds::certificate::ID);
    status.and_then(|status| status.problem).into_iter().collect()
}

fn boot(store: &Store, _: Duration) -> Vec<String> {
    let boot: BootStatus = store.get(NODE).unwrap_or_default();
    let failed = boot.failed.iter();
    failed
        .map(|failed| {
            format!(
                "slot {} was refused at this start: {}",
                failed.slot, failed.reason
            )
        })
        .collect()
}

fn network(store: &Store, _: Duration) -> Vec<String> {
    let status: Option<NetworkStatus> = store.get(NODE);
    status.map(|status| status.problems).unwrap_or_default()
}

fn time(store: &Store, now: Duration) -> Vec<String> {
    let status: Option<TimeStatus> = store.get(state::kinds::NODE);
    let lost = status.filter(|status| !status.synchronised && !status.servers.is_empty());
    lost.filter(|_| now >= STARTING)
        .map(|status| match status.reason {
            Some(reason) => format!("the clock is not in step with a server: {reason}"),
            None => "the clock is not in step with a server".to_owned(),
        })
        .into_iter()
        .collect()
}

fn services(store: &Store, now: Duration) -> Vec<String> {
    let all = store.list::<ServiceStatus>().into_iter();
    all.filter(|(_, status)| now >= STARTING && !status.is_as_wanted())
        .map(|(name, status)| format!("{name} is unhealthy: {}", status.message))
        .collect()
}

/// Lists workloads without an image, and those that were rolled back. What a service says of itself is `services`'.
fn workloads(store: &Store, now: Duration) -> Vec<String> {
    let all = store.list::<WorkloadStatus>().into_iter();
    all.filter(|(_, status)| match status.stage {
        WorkloadStage::Fetching => now >= STARTING,
        WorkloadStage::RolledBack => true,
        WorkloadStage::Trial | WorkloadStage::Committed => false,
    })
    .filter_map(|(name, status)| Some(format!("{name}: {}", status.problem?)))
    .collect()
}

fn pods(store: &Store, _: Duration) -> Vec<String> {
    let status: PodNetworkStatus = store.get(NODE).unwrap_or_default();
    status.problems
}

/// Reports a store that was put aside until it is no longer kept.
fn containers(store: &Store, _: Duration) -> Vec<String> {
    let status: ContainerStoreStatus = store.get(NODE).unwrap_or_default();
    let kept = status.kept.into_iter();
    kept.map(|kept| {
        format!(
            "the container store was damaged and was replaced ({}); the old one is kept in {} for a week",
            kept.reason, kept.path
        )
    })
    .collect()
}

/// Returns why a node is not Ready: what it waits for before its components can run, or else what Kubernetes says.
pub(super) fn not_ready(store: &Store, status: KubernetesNodeStatus) -> Option<String> {
    let own: Option<ClusterStatus> = store.get(NODE);
    own.and_then(|own| own.waits_for).or(status.problem)
}

fn cluster(store: &Store, now: Duration) -> Vec<String> {
    let status: Option<KubernetesNodeStatus> = store.get(NODE);
    let unready = status.filter(|status| now >= STARTING && !status.ready);
    unready
        .and_then(|status| not_ready(store, status))
        .into_iter()
        .collect()
}

fn manifests(store: &Store, _: Duration) -> Vec<String> {
    let all = store.list::<ManifestStatus>().into_iter();
    all.filter(|(_, status)| status.state == ManifestState::Failed)
        .map(|(name, status)| format!("{name}: {}", status.message.unwrap_or_default()))
        .collect()
}

fn controllers(store: &Store, _: Duration) -> Vec<String> {
    let all = store.list::<ControllerStatus>().into_iter();
    all.filter_map(|(name, status)| match status.state {
        ControllerState::Failing { error, attempts } if attempts >= FAILURES => {
            Some(format!("{name}: {error}"))
        }
        _ => None,
    })
    .collect()
}
