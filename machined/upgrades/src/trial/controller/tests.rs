//! A node on trial, from its first second to the decision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use health::NodeHealth;
use node::boot::{Stamps, cmdline};
use slots::Record;
use state::kinds::{ApiStatus, NODE, NetworkStatus, VolumeState, VolumeStatus};
use sys::clock::RecordingClock;

use super::*;
use crate::trial::{Diary, DiaryFile, TrialStage};

struct Bench {
    file: tempfile::NamedTempFile,
    clock: Arc<RecordingClock>,
    power: Power,
    store: Store,
    stamps: Stamps,
    health: NodeHealth,
    slots: Slots,
}

fn bench(record: &Record, cmdline: &str) -> Bench {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1024 * 1024).unwrap();
    let on_disk = crate::trial::RecordFile::new(file.path());
    on_disk.write(&on_disk.read().unwrap(), record).unwrap();
    let clock = Arc::new(RecordingClock::at(SystemTime::UNIX_EPOCH));
    let (power, store) = (Power::new(), Store::new());
    let stamps = Stamps::start(
        &store,
        &cmdline::parse(&format!("{cmdline} bedplate.disk=7")),
        String::new(),
        BTreeMap::new(),
    );
    let places = Places {
        bootstate: file.path().to_owned(),
        slots: ["/nowhere/a".into(), "/nowhere/b".into()],
    };
    let health_clock = clock.clone();
    let slots = Slots::new(
        move |_| Some(places.clone()),
        Box::new(clock.clone()),
        Events::new(),
        power.clone(),
    );
    Bench {
        file,
        clock,
        power,
        store,
        stamps,
        health: NodeHealth::new(Box::new(health_clock), Events::new()),
        slots,
    }
}

impl Bench {
    async fn after(&mut self, seconds: u64) -> TrialStatus {
        self.clock.advance(Duration::from_secs(seconds));
        self.look().await.unwrap();
        self.store.get(NODE).unwrap()
    }

    async fn look(&mut self) -> Result<Action, ControllerError> {
        self.health.reconcile(&self.store).await?;
        self.slots.reconcile(&self.store).await
    }

    fn become_healthy(&self) {
        self.store.put("api-check", NODE, ApiStatus::default()).unwrap();
        let network = NetworkStatus {
            ready: true,
            ..NetworkStatus::default()
        };
        self.store.put("network", NODE, network).unwrap();
    }

    fn record(&self) -> Record {
        let on_disk = crate::trial::RecordFile::new(self.file.path());
        on_disk.read().unwrap().record.unwrap()
    }

    fn diary(&self) -> Option<Diary> {
        DiaryFile::new(self.file.path()).read().unwrap()
    }
}

fn trial() -> Record {
    Record::initial().arm_trial(Slot::B, 2)
}

#[tokio::test]
async fn a_trial_is_kept_after_it_was_healthy_for_long_enough() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    assert!(matches!(bench.after(5).await, TrialStatus::Waiting { .. }));
    bench.become_healthy();
    assert!(matches!(bench.after(5).await, TrialStatus::Holding { .. }));
    assert_eq!(bench.record().slot(Slot::B), SlotState::Trial { tries: 2 });
    assert_eq!(bench.after(30).await, TrialStatus::Committed);
    assert_eq!(bench.record().slot(Slot::B), SlotState::Committed);
    assert_eq!(
        bench.store.get::<SlotStatus>("b").unwrap().state,
        SlotState::Committed
    );
    assert_eq!(bench.after(1).await, TrialStatus::Committed);
    assert_eq!(bench.power.requested(), None);
}

/// A release that cannot use the config is never kept, however healthy the rest is.
#[tokio::test]
async fn a_trial_that_leaves_the_node_locked_is_abandoned_at_once() {
    let locked = ConfigStatus {
        phase: Phase::Locked {
            reason: "this release cannot use the machine config in STATE".into(),
        },
        generation: 0,
        pending: None,
        problems: vec![],
    };
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    bench.become_healthy();
    bench.store.put("config", NODE, locked.clone()).unwrap();
    assert_eq!(bench.after(1).await, TrialStatus::GivenUp);
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert_eq!(bench.record().slot(Slot::B), SlotState::Bad(Reason::NotHealthy));
    let diary = bench.diary().unwrap();
    assert!(
        diary.reason.contains("cannot use the machine config"),
        "{diary:?}"
    );

    // With nothing to fall back to, its owner has time to repair it; it is not kept before.
    let alone = trial().erase(Slot::A);
    let mut bench = self::bench(&alone, "bedplate.slot=b bedplate.cause=trial");
    bench.become_healthy();
    bench.store.put("config", NODE, locked).unwrap();
    for _ in 0..10 {
        assert!(matches!(bench.after(30).await, TrialStatus::Waiting { .. }));
    }
    assert_eq!(bench.power.requested(), None);
}

#[tokio::test]
async fn a_trial_that_never_becomes_healthy_restarts() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    assert!(matches!(bench.after(599).await, TrialStatus::Waiting { .. }));
    assert_eq!(bench.after(1).await, TrialStatus::GivenUp);
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert_eq!(
        bench.record(),
        trial().mark_bad(Slot::B, Reason::NotHealthy),
        "the tries that are left would take as long each"
    );
    let diary = bench.diary().unwrap();
    assert_eq!(diary.reason, "slot b was not healthy in time");
    let failing: Vec<&str> = diary
        .checks
        .iter()
        .filter(|check| !check.healthy)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(failing, ["api", "network"]);
    assert_eq!(bench.after(1).await, TrialStatus::GivenUp);
}

#[tokio::test]
async fn with_nothing_to_fall_back_to_the_loader_counts() {
    let lonely = trial().erase(Slot::A);
    let mut bench = bench(&lonely, "bedplate.slot=b bedplate.cause=trial");
    assert_eq!(bench.after(600).await, TrialStatus::GivenUp);
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert_eq!(bench.record(), lonely);
}

#[tokio::test]
async fn a_trial_keeps_a_diary_and_a_kept_system_does_not() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    bench.after(5).await;
    let first = bench.diary().unwrap();
    assert_eq!(
        (first.stage, first.slot, first.uptime_ms),
        (TrialStage::Root, Slot::B, 5000)
    );
    bench.stamps.mark("storage");
    bench.become_healthy();
    bench.after(5).await;
    assert_eq!(bench.diary().unwrap().stage, TrialStage::Healthy);
    bench.after(30).await;
    let last = bench.diary().unwrap();
    bench
        .store
        .put("network", NODE, NetworkStatus::default())
        .unwrap();
    bench.after(100).await;
    assert_eq!(bench.diary().unwrap(), last);

    let mut old = self::bench(&trial(), "bedplate.slot=a bedplate.cause=fallback");
    old.after(5).await;
    assert_eq!(old.diary(), None);
}

#[tokio::test]
async fn an_unhealthy_period_restarts_the_wait() {
    let mut bench = bench(&trial(), "bedplate.slot=b");
    bench.become_healthy();
    bench.after(1).await;
    bench
        .store
        .put("network", NODE, NetworkStatus::default())
        .unwrap();
    assert!(matches!(bench.after(20).await, TrialStatus::Waiting { .. }));
    bench.become_healthy();
    bench
        .store
        .put(
            "network",
            NODE,
            NetworkStatus {
                ready: true,
                ..Default::default()
            },
        )
        .unwrap();
    assert!(matches!(bench.after(20).await, TrialStatus::Holding { .. }));
}

/// The release may be what cannot open it.
#[tokio::test]
async fn a_trial_without_its_data_is_not_kept() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    bench.become_healthy();
    let volume = |state| VolumeStatus {
        target: "/var".into(),
        device: None,
        size: 0,
        state,
    };
    let reason = "unknown feature".to_owned();
    let lost = volume(VolumeState::Volatile { reason });
    bench.store.put("storage", "DATA", lost).unwrap();
    assert!(matches!(bench.after(5).await, TrialStatus::Waiting { .. }));
    assert_eq!(bench.after(600).await, TrialStatus::GivenUp);
    let checks = bench.diary().unwrap().checks;
    let last = checks.last().unwrap();
    let expected = ("storage", "DATA is only in memory: unknown feature");
    assert_eq!((last.name.as_str(), last.message.as_str()), expected);
}

/// An API that listens, and has no certificate to serve with, locks everybody out.
#[tokio::test]
async fn a_trial_whose_api_only_listens_is_not_kept() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    bench.become_healthy();
    bench.stamps.mark("api");
    let status = ApiStatus {
        problem: Some("the API refuses a handshake: EOF".into()),
        fingerprint: None,
    };
    bench.store.put("api-check", NODE, status).unwrap();
    assert!(matches!(bench.after(5).await, TrialStatus::Waiting { .. }));
    assert_eq!(bench.after(600).await, TrialStatus::GivenUp);
}

/// Nothing raises the floor later.
#[tokio::test]
async fn a_trial_whose_manifest_cannot_be_read_is_not_kept_yet() {
    let manifest = "7".repeat(64);
    let words = format!("bedplate.slot=b bedplate.cause=trial bedplate.manifest={manifest}");
    let mut bench = bench(&trial(), &words);
    bench.become_healthy();
    bench.after(5).await;
    bench.clock.advance(Duration::from_secs(30));
    let error = bench.look().await.unwrap_err();
    assert!(error.to_string().contains("not kept yet"), "{error}");
    assert_eq!(bench.record(), trial());
}

#[tokio::test]
async fn the_trial_of_another_slot_is_ignored() {
    let mut bench = bench(&trial(), "bedplate.slot=a bedplate.cause=fallback");
    bench.become_healthy();
    assert_eq!(bench.after(1000).await, TrialStatus::None);
    assert_eq!(bench.record(), trial());
    assert!(bench.store.get::<SlotStatus>("a").unwrap().running);
}

#[tokio::test]
async fn a_trial_whose_disk_never_appears_is_abandoned() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    bench.slots.find = Box::new(|_| None);
    bench.clock.advance(Duration::from_secs(599));
    assert!(bench.slots.reconcile(&bench.store).await.is_err());
    assert_eq!(bench.power.requested(), None);
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.slots.reconcile(&bench.store).await.is_err());
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
}
