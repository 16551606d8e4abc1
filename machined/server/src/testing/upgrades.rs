//! Upgrades that only seem to happen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::v1alpha1::{
    Health, HealthCheckResult, PlannedFetch, TrialPhase, UpgradeOutcome, UpgradePlan, UpgradeRecord,
    UpgradeStage, UpgradeStatus, UpgradeTrial,
};
use async_trait::async_trait;
use backend::{BackendError, PushedBundle, StartUpgrade, UpgradeSource, Upgrades};
use state::kinds::upgrade::Mode;
use tokio::sync::watch;

/// The version that nodes start with.
pub const OLD: &str = "0.1.0";
/// The version that every bundle brings.
pub const NEW: &str = "0.2.0";
/// How long each step of a seeming upgrade takes.
const STEP: Duration = Duration::from_millis(30);

/// What becomes of the upgrades of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The new system is kept.
    Commits,
    /// The new system does not get well.
    FallsBack,
    /// It fails before the restart.
    Fails,
    /// It stays in its first step until it is cancelled.
    Hangs,
}

/// Remembers what it was asked to do, and changes nothing but what it says of itself.
#[derive(Clone)]
pub struct FakeUpgrades {
    state: Arc<Mutex<State>>,
    status: watch::Sender<UpgradeStatus>,
}

struct State {
    fate: Fate,
    version: String,
    /// Names the release that runs, and the one that every bundle brings.
    manifests: (String, String),
    boot: u32,
    count: u32,
    running: bool,
    calls: Vec<String>,
    received: Vec<u8>,
    records: Vec<UpgradeRecord>,
}

impl Default for FakeUpgrades {
    fn default() -> Self {
        let state = State {
            fate: Fate::Commits,
            version: OLD.to_owned(),
            manifests: ("00".repeat(32), "11".repeat(32)),
            boot: 1,
            count: 0,
            running: false,
            calls: Vec::new(),
            received: Vec::new(),
            records: Vec::new(),
        };
        FakeUpgrades {
            state: Arc::new(Mutex::new(state)),
            status: watch::Sender::new(idle(TrialPhase::None)),
        }
    }
}

fn idle(trial: TrialPhase) -> UpgradeStatus {
    UpgradeStatus {
        stage: UpgradeStage::Idle.into(),
        trial: Some(UpgradeTrial {
            phase: trial.into(),
            ..UpgradeTrial::default()
        }),
        ..UpgradeStatus::default()
    }
}

impl FakeUpgrades {
    /// Decides what becomes of the next upgrades.
    pub fn set_fate(&self, fate: Fate) {
        self.with(|state| state.fate = fate);
    }

    /// Makes every bundle bring the release whose manifest has this hash.
    pub fn set_brought(&self, manifest: &str) {
        self.with(|state| state.manifests.1 = manifest.to_owned());
    }

    /// Makes the node run what every bundle brings.
    pub fn set_upgraded(&self) {
        self.with(|state| {
            state.version = NEW.to_owned();
            state.manifests.0 = state.manifests.1.clone();
        });
    }

    /// Returns the hash of the manifest of what seems to run.
    pub fn manifest(&self) -> String {
        self.with(|state| state.manifests.0.clone())
    }

    /// Returns the version that seems to run.
    pub fn version(&self) -> String {
        self.with(|state| state.version.clone())
    }

    /// Names the present boot.
    pub fn boot_id(&self) -> String {
        self.with(|state| format!("boot-{}", state.boot))
    }

    /// Returns what was asked for, in order.
    pub fn calls(&self) -> Vec<String> {
        self.with(|state| state.calls.clone())
    }

    /// Returns what came of the last pushed bundle.
    pub fn received(&self) -> Vec<u8> {
        self.with(|state| state.received.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stage(&self, stage: UpgradeStage) {
        self.status.send_modify(|status| status.stage = stage.into());
    }

    async fn go(self, start: StartUpgrade, pushed: Option<Box<dyn PushedBundle>>, fate: Fate) {
        tokio::time::sleep(STEP).await;
        if let Some(pushed) = pushed {
            let copy = tokio::task::spawn_blocking(move || receive(pushed));
            match copy.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(received) => self.with(|state| state.received = received),
                Err(reason) => return self.fail(&reason),
            }
        }
        if fate == Fate::Hangs {
            return;
        }
        self.status.send_modify(|status| {
            status.to_version = NEW.to_owned();
            status.fetch_bytes = 1000;
            status.plan = Some(UpgradePlan {
                manifest_sha256: self.with(|state| state.manifests.1.clone()),
                ..plan()
            });
        });
        if start.plan_only {
            self.with(|state| state.running = false);
            return self.stage(UpgradeStage::Idle);
        }
        for stage in [
            UpgradeStage::Surveying,
            UpgradeStage::Fetching,
            UpgradeStage::Verifying,
        ] {
            tokio::time::sleep(STEP).await;
            self.stage(stage);
        }
        if fate == Fate::Fails {
            return self.fail("the server does not send what the index promised");
        }
        if start.mode != Mode::Now {
            return self.stage(UpgradeStage::Armed);
        }
        self.stage(UpgradeStage::Rebooting);
        tokio::time::sleep(STEP * 2).await;
        self.come_back(fate);
    }

    fn fail(&self, reason: &str) {
        self.record(UpgradeOutcome::Failed, reason);
        self.status.send_modify(|status| {
            status.stage = UpgradeStage::Failed.into();
            status.reason = reason.to_owned();
        });
    }

    fn come_back(&self, fate: Fate) {
        let (outcome, cause) = match fate {
            Fate::FallsBack => (
                UpgradeOutcome::FellBack,
                "not healthy in time: the clock is not in step with a server",
            ),
            _ => (UpgradeOutcome::Committed, "healthy for 60 s"),
        };
        self.record(outcome, cause);
        let trial = match outcome {
            UpgradeOutcome::FellBack => TrialPhase::None,
            _ => TrialPhase::Committed,
        };
        self.with(|state| {
            state.boot += 1;
        });
        if outcome == UpgradeOutcome::Committed {
            self.set_upgraded();
        }
        self.status.send_replace(idle(trial));
    }

    fn record(&self, outcome: UpgradeOutcome, cause: &str) {
        let status = self.status.borrow().clone();
        let fell_back = outcome == UpgradeOutcome::FellBack;
        let record = UpgradeRecord {
            id: status.id,
            from_version: status.from_version,
            to_version: NEW.to_owned(),
            source: status.source,
            started_unix_ms: 1_800_000_000_000,
            ended_unix_ms: 1_800_000_060_000,
            outcome: outcome.into(),
            cause: cause.to_owned(),
            stage: status.stage,
            trial_stage: if fell_back {
                "api".to_owned()
            } else {
                String::new()
            },
            health: fell_back.then(|| Health {
                healthy: false,
                checks: vec![HealthCheckResult {
                    name: "time".into(),
                    healthy: false,
                    message: "the clock is not in step with a server".into(),
                }],
                ..Health::default()
            }),
            kernel_log: if fell_back {
                vec!["[   61.000000] machined: giving up".into()]
            } else {
                Vec::new()
            },
            ..UpgradeRecord::default()
        };
        self.with(|state| {
            state.running = false;
            state.records.insert(0, record);
        });
    }
}

/// Takes a whole bundle, in pieces of odd lengths.
fn receive(mut pushed: Box<dyn PushedBundle>) -> Result<Vec<u8>, String> {
    let (length, mut received) = (pushed.length(), Vec::new());
    let mut offset = 0;
    while offset < length {
        let piece = (length - offset).min(100_003);
        let piece = u32::try_from(piece).map_err(|error| error.to_string())?;
        received.extend(pushed.read(offset, piece).map_err(|error| error.to_string())?);
        offset += u64::from(piece);
    }
    Ok(received)
}

fn plan() -> UpgradePlan {
    UpgradePlan {
        from_version: OLD.to_owned(),
        to_version: NEW.to_owned(),
        board: "qemu-arm64".to_owned(),
        slot: "b".to_owned(),
        fetches: vec![PlannedFetch {
            kind: api::v1alpha1::FetchKind::Patches.into(),
            bytes: 1000,
            count: 3,
        }],
        fetch_bytes: 1000,
        full_bytes: 50_000,
        block_size: 4096,
        write_blocks: 20,
        equal_blocks: 80,
        time_ms: 12_000,
        patches_from: OLD.to_owned(),
        reason: "patches from 0.1.0 cost least".to_owned(),
        ..UpgradePlan::default()
    }
}

#[async_trait]
impl Upgrades for FakeUpgrades {
    async fn start(
        &self,
        start: StartUpgrade,
        pushed: Option<Box<dyn PushedBundle>>,
    ) -> Result<String, BackendError> {
        let source = match &start.source {
            UpgradeSource::Url(url) => url.clone(),
            UpgradeSource::Pushed { .. } => "pushed".to_owned(),
        };
        let begun = self.with(|state| {
            if state.running {
                return Err(BackendError::Refused("another upgrade runs already".to_owned()));
            }
            state.running = true;
            state.count += 1;
            state.calls.push(format!(
                "upgrade {source} {:?} plan_only={} force={} rate_limit={}",
                start.mode,
                start.plan_only,
                start.force,
                start.rate_limit.map_or(0, u64::from)
            ));
            Ok((format!("u{}", state.count), state.version.clone(), state.fate))
        });
        let (id, from_version, fate) = begun?;
        self.status.send_replace(UpgradeStatus {
            id: id.clone(),
            stage: UpgradeStage::Opening.into(),
            from_version,
            source,
            mode: backend::mode(start.mode).into(),
            ..UpgradeStatus::default()
        });
        tokio::spawn(self.clone().go(start, pushed, fate));
        Ok(id)
    }

    fn status(&self) -> watch::Receiver<UpgradeStatus> {
        self.status.subscribe()
    }

    async fn history(&self) -> Result<Vec<UpgradeRecord>, BackendError> {
        Ok(self.with(|state| state.records.clone()))
    }

    async fn cancel(&self) -> Result<String, BackendError> {
        if !self.with(|state| state.running) {
            return Err(BackendError::Refused("no upgrade runs".to_owned()));
        }
        self.record(UpgradeOutcome::Cancelled, "cancelled by a client");
        self.with(|state| state.calls.push("cancel".to_owned()));
        self.status.send_modify(|status| {
            status.stage = UpgradeStage::Idle.into();
            status.reason = "cancelled".to_owned();
        });
        Ok(self.status.borrow().id.clone())
    }

    async fn rollback(&self) -> Result<String, BackendError> {
        self.with(|state| state.calls.push("rollback".to_owned()));
        Ok(OLD.to_owned())
    }
}
