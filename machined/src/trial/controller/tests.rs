//! A node on trial, from its first second to the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use slots::Record;
use sys::clock::RecordingClock;

use super::*;
use crate::boot::{Stamps, cmdline};

#[derive(Clone)]
struct SharedClock(Arc<RecordingClock>);

impl Clock for SharedClock {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
    fn since_boot(&self) -> Duration {
        self.0.since_boot()
    }
    fn set(&self, to: SystemTime) -> sys::Result<()> {
        self.0.set(to)
    }
}

struct Bench {
    file: tempfile::NamedTempFile,
    clock: SharedClock,
    power: Power,
    store: Store,
    stamps: Stamps,
    slots: Slots,
}

fn bench(record: &Record, cmdline: &str) -> Bench {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1024 * 1024).unwrap();
    let on_disk = RecordFile::new(file.path());
    on_disk.write(&on_disk.read().unwrap(), record).unwrap();
    let clock = SharedClock(Arc::new(RecordingClock::at(SystemTime::UNIX_EPOCH)));
    let (power, store) = (Power::new(), Store::new());
    let stamps = Stamps::start(
        &store,
        &cmdline::parse(&format!("{cmdline} bedplate.disk=7")),
        String::new(),
        BTreeMap::new(),
    );
    let places = Places {
        record: on_disk,
        slots: ["/nowhere/a".into(), "/nowhere/b".into()],
    };
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
        slots,
    }
}

impl Bench {
    async fn after(&mut self, seconds: u64) -> TrialStatus {
        self.clock.0.advance(Duration::from_secs(seconds));
        self.slots.reconcile(&self.store).await.unwrap();
        self.store.get(ID).unwrap()
    }

    fn get_well(&self) {
        self.stamps.mark("api");
        let network = NetworkStatus {
            ready: true,
            ..NetworkStatus::default()
        };
        self.store.put("network", ID, network).unwrap();
    }

    fn record(&self) -> Record {
        RecordFile::new(self.file.path()).read().unwrap().record.unwrap()
    }
}

fn trial() -> Record {
    Record::initial().arm_trial(Slot::B, 2)
}

#[tokio::test]
async fn a_trial_is_kept_once_it_was_well_for_long_enough() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    assert!(matches!(bench.after(5).await, TrialStatus::Waiting { .. }));
    bench.get_well();
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

#[tokio::test]
async fn a_trial_that_never_gets_well_restarts() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    assert!(matches!(bench.after(599).await, TrialStatus::Waiting { .. }));
    assert_eq!(bench.after(1).await, TrialStatus::GivenUp);
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
    assert_eq!(
        bench.record(),
        trial(),
        "the loader counts the tries, and draws the conclusion"
    );
}

#[tokio::test]
async fn a_break_starts_the_while_anew() {
    let mut bench = bench(&trial(), "bedplate.slot=b");
    bench.get_well();
    bench.after(1).await;
    bench.store.put("network", ID, NetworkStatus::default()).unwrap();
    assert!(matches!(bench.after(20).await, TrialStatus::Waiting { .. }));
    bench.get_well();
    bench
        .store
        .put(
            "network",
            ID,
            NetworkStatus {
                ready: true,
                ..Default::default()
            },
        )
        .unwrap();
    assert!(matches!(bench.after(20).await, TrialStatus::Holding { .. }));
}

#[tokio::test]
async fn another_slots_trial_is_none_of_ours() {
    let mut bench = bench(&trial(), "bedplate.slot=a bedplate.cause=fallback");
    bench.get_well();
    assert_eq!(bench.after(1000).await, TrialStatus::None);
    assert_eq!(bench.record(), trial());
    assert!(bench.store.get::<SlotStatus>("a").unwrap().running);
}

#[tokio::test]
async fn a_trial_whose_disk_never_appears_is_given_up() {
    let mut bench = bench(&trial(), "bedplate.slot=b bedplate.cause=trial");
    bench.slots.find = Box::new(|_| None);
    bench.clock.0.advance(Duration::from_secs(599));
    assert!(bench.slots.reconcile(&bench.store).await.is_err());
    assert_eq!(bench.power.requested(), None);
    bench.clock.0.advance(Duration::from_secs(1));
    assert!(bench.slots.reconcile(&bench.store).await.is_err());
    assert_eq!(bench.power.requested(), Some(Stop::Reboot));
}
