//! What is wrong with a node, and what that makes of it.

use std::sync::Arc;
use std::time::SystemTime;

use state::kinds::{
    BootStatus, CertificateStatus, ContainerStoreStatus, DiskStatus, EtcdDisk, EtcdSnapshotStatus,
    FailedSlot, FirmwareDifference, FirmwareFile, FirmwareStatus, KeptStore, KubernetesNodeStatus,
    ManifestState, ManifestStatus, NODE, PodNetworkStatus, RoomStatus, ServiceHealth, ServiceState,
    VolumeState, VolumeStatus, WorkloadStage, WorkloadStatus,
};
use state::testkit::settle_one;
use state::{ControllerState, ControllerStatus};
use sys::clock::RecordingClock;

use super::*;

mod cluster;
mod problems;

use problems::{PROBLEMS, service};

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
