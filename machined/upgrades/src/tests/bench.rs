//! A node of files: two slots, BOOTSTATE and STATE in a folder, over as many restarts as a test likes.

use state::kinds::upgrade::Mode;
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use api::v1alpha1::{UpgradeStage, UpgradeStatus as Message};
use backend::{BackendError, PushError, PushedBundle, StartUpgrade, UpgradeSource, Upgrades as _};
use machine_config::MachineConfig;
use manifest::Digest;
use node::boot::{Stamps, cmdline};
use node::events::Events;
use node::power::{Power, Stop};
use samples::{Recipe, Release, Signer, noise};
use slots::{Record, Slot, SlotState};
use state::kinds::health::Reason;
use state::kinds::{CheckResult, HealthState, HealthStatus, NODE, SlotStatus, TimeStatus, TrialStatus};
use state::{Action, Controller as _, Store};
use sys::clock::RecordingClock;

use crate::hooks::{BeforeReboot, NodeIsHealthy};
use crate::trial::{Places, RecordFile, release_in};
use crate::{UpgradeContext, UpgradeController, UpgradeHandle};

pub const PARTITION: usize = 6 << 20;
/// 2026-11-02, a Monday, 12:00 UTC.
pub const NOON: u64 = 1_793_620_800;
const PATIENCE: Duration = Duration::from_secs(60);

/// The signer of releases.
pub fn signer() -> Arc<Signer> {
    Arc::new(Signer::default())
}

/// A recipe for a small system.
pub fn recipe(version: &str, seed: u64, signer: &Signer) -> Recipe<'static> {
    let mut recipe = Recipe::new(version, noise(2 << 20, seed));
    recipe.keys = vec![signer.key()];
    recipe
}

/// Returns the manifest's hash, which identifies a release in a rollout.
pub fn manifest_of(release: &Release) -> Digest {
    let preamble = bundle::Preamble::read(&mut Cursor::new(&release.bundle)).unwrap();
    Digest::of(&preamble.json)
}

/// The disk.
pub struct Disk {
    pub folder: tempfile::TempDir,
}

impl Disk {
    /// Slot A holds a release, committed; B nothing.
    pub fn with(release: &Release) -> Disk {
        let disk = Disk {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(disk.path("bootstate"), vec![0; 1 << 20]).unwrap();
        fs::create_dir(disk.path("state")).unwrap();
        fs::write(disk.path("b"), vec![0; PARTITION]).unwrap();
        disk.put(Slot::A, release);
        disk.set_record(&Record::initial());
        disk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn put(&self, slot: Slot, release: &Release) {
        fs::write(self.path(slot.name()), release.partition(PARTITION, 0)).unwrap();
    }

    pub fn places(&self) -> Places {
        Places {
            bootstate: self.path("bootstate"),
            slots: [self.path("a"), self.path("b")],
        }
    }

    pub fn record(&self) -> Record {
        RecordFile::new(self.path("bootstate"))
            .read()
            .unwrap()
            .record
            .unwrap()
    }

    pub fn set_record(&self, record: &Record) {
        let file = RecordFile::new(self.path("bootstate"));
        file.write(&file.read().unwrap(), record).unwrap();
    }

    /// Returns true if a slot holds exactly this release.
    pub fn holds(&self, slot: Slot, release: &Release) -> bool {
        let bytes = fs::read(self.path(slot.name())).unwrap();
        let end = bytes.len() - release.trailer.len();
        bytes[..release.slot.len()] == release.slot[..] && bytes[end..] == release.trailer[..]
    }
}

/// The node, from one start to the next.
pub struct Node {
    pub store: Store,
    pub power: Power,
    pub events: Events,
    pub clock: Arc<RecordingClock>,
    pub handle: UpgradeHandle,
    pub controller: UpgradeController,
    places: Places,
    slot: Slot,
}

impl Node {
    /// Starts from a slot, healthy, and with a synchronized clock.
    pub fn start(disk: &Disk, slot: Slot) -> Node {
        Node::start_with(disk, slot, Vec::new())
    }

    pub fn start_with(disk: &Disk, slot: Slot, before: Vec<Arc<dyn BeforeReboot>>) -> Node {
        let store = Store::new();
        let release = release_in(&disk.places().slots[slot.index()], None).unwrap();
        let hash = Digest::of(&release.json);
        let line = cmdline::parse(&format!(
            "bedplate.slot={slot} bedplate.manifest={hash} bedplate.disk=7"
        ));
        let boot_id = uuid::Uuid::new_v4().to_string();
        Stamps::start(&store, &line, boot_id, BTreeMap::new());
        let clock = Arc::new(RecordingClock::at(
            SystemTime::UNIX_EPOCH + Duration::from_secs(NOON),
        ));
        let (power, events) = (Power::new(), Events::new());
        let context = UpgradeContext {
            store: store.clone(),
            events: events.clone(),
            power: power.clone(),
            clock: clock.clone(),
            places: disk.places(),
            state: disk.path("state"),
            survives: vec![Arc::new(NodeIsHealthy::new(store.clone()))],
            before,
        };
        store
            .put("config", state::kinds::NODE, state::testkit::config())
            .unwrap();
        let handle = UpgradeHandle::new(context);
        let node = Node {
            controller: UpgradeController::new(handle.clone()),
            store,
            power,
            events,
            clock,
            handle,
            places: disk.places(),
            slot,
        };
        node.set_health("");
        node.set_synchronised(true);
        node.publish(TrialStatus::None);
        node
    }

    /// Publishes what the controller `slots` would.
    pub fn publish(&self, trial: TrialStatus) {
        let record = self.places.record().read().unwrap().record.unwrap();
        for slot in Slot::ALL {
            let status = SlotStatus {
                state: record.slot(slot),
                version: None,
                preferred: record.preferred == slot,
                running: slot == self.slot,
                floor: record.floor,
            };
            self.store.put("slots", slot.name(), status).unwrap();
        }
        self.store.put("slots", NODE, trial).unwrap();
    }

    /// Sets the node's health.
    pub fn set_health(&self, missing: &str) {
        let check = CheckResult {
            name: "services".into(),
            healthy: missing.is_empty(),
            message: missing.into(),
        };
        let reason = Reason {
            source: "services".into(),
            state: HealthState::Unhealthy,
            text: missing.into(),
            since_ms: 0,
        };
        let reasons: Vec<Reason> = Some(reason).filter(|_| !missing.is_empty()).into_iter().collect();
        let state = reasons
            .first()
            .map_or(HealthState::Healthy, |reason| reason.state);
        let health = HealthStatus {
            state,
            reasons,
            checks: vec![check],
            well_since_ms: missing.is_empty().then_some(1),
        };
        self.store.put("health", NODE, health).unwrap();
    }

    pub fn set_synchronised(&self, synchronised: bool) {
        let json = serde_json::json!({
            "synchronised": synchronised, "source": "ntp", "server": null, "offsetNanos": 0,
            "lastSyncUnix": null, "servers": [], "serversFrom": "default", "reason": null,
        });
        let status: TimeStatus = serde_json::from_value(json).unwrap();
        self.store.put("time", NODE, status).unwrap();
    }

    pub fn configure(&self, edit: impl FnOnce(&mut MachineConfig)) {
        let mut config = state::testkit::config();
        edit(&mut config);
        self.store.put("config", state::kinds::NODE, config).unwrap();
    }

    /// Pushes a bundle as a client.
    pub async fn push(&self, bundle: &[u8], mode: Mode) -> Result<String, BackendError> {
        self.push_with(bundle, mode, |_| {}).await
    }

    pub async fn push_with(
        &self,
        bundle: &[u8],
        mode: Mode,
        edit: impl FnOnce(&mut StartUpgrade),
    ) -> Result<String, BackendError> {
        let source = UpgradeSource::Pushed {
            length: bundle.len() as u64,
        };
        let mut start = start(source, mode);
        edit(&mut start);
        self.handle
            .start(start, Some(Box::new(Client(bundle.to_vec()))))
            .await
    }

    pub async fn fetch(&self, url: &str, mode: Mode) -> Result<String, BackendError> {
        self.handle
            .start(start(UpgradeSource::Url(url.to_owned()), mode), None)
            .await
    }

    /// Waits until the upgrade is idle, and returns the status.
    pub async fn ended(&self) -> Message {
        let mut status = self.handle.status();
        let ended = status.wait_for(|status| {
            !matches!(
                status.stage(),
                UpgradeStage::Opening
                    | UpgradeStage::Surveying
                    | UpgradeStage::Fetching
                    | UpgradeStage::Verifying
            )
        });
        let found = tokio::time::timeout(PATIENCE, ended)
            .await
            .unwrap()
            .unwrap()
            .clone();
        while self.handle.busy().await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        found
    }

    /// Waits for the request to restart.
    pub async fn restarts(&self) {
        let request = tokio::time::timeout(PATIENCE, self.power.wait()).await.unwrap();
        assert_eq!(request, Stop::Reboot);
    }

    pub async fn keep(&mut self) -> Action {
        self.controller.reconcile(&self.store).await.unwrap()
    }
}

/// A request for an upgrade.
pub fn start(source: UpgradeSource, mode: Mode) -> StartUpgrade {
    StartUpgrade {
        source,
        mode,
        plan_only: false,
        force: false,
        rate_limit: None::<NonZeroU64>,
        who: "a test".into(),
    }
}

/// A client that sends what is requested.
pub struct Client(pub Vec<u8>);

impl PushedBundle for Client {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }
    fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, PushError> {
        let start = usize::try_from(offset).unwrap();
        Ok(self.0[start..start + length as usize].to_vec())
    }
}

/// A hook that counts its calls, and fails on demand.
pub struct RecordingHook {
    pub calls: Arc<Mutex<u32>>,
    pub fails: bool,
}

#[async_trait::async_trait]
impl BeforeReboot for RecordingHook {
    fn name(&self) -> &'static str {
        "hook"
    }
    async fn prepare(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        *self.calls.lock().unwrap() += 1;
        if self.fails {
            Err("the hook fails".into())
        } else {
            Ok(())
        }
    }
}

pub fn on_trial(record: Record, slot: Slot) -> bool {
    matches!(record.slot(slot), SlotState::Trial { tries: 1.. }) && record.preferred == slot
}
