//! Starts upgrades, one at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use backend::{BackendError, PushedBundle, StartUpgrade};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Upgrades as Config;
use manifest::Digest;
use node::events::Events;
use node::power::Power;
use state::kinds::upgrade::{Mode, Stage};
use state::kinds::{BootStatus, HealthStatus, NODE, TrialStatus, UpgradeStatus};
use state::tasks::caught;
use state::{Store, chain};
use sys::clock::Clock;
use tokio::sync::{Mutex, watch};

use super::error::Error;
use super::history::{Entry, History, Outcome, ResumeRequest};
use super::hooks::{BeforeReboot, SurvivesReboot};
use super::job::{Job, Origin};
use super::preflight::RunningSystem;
use super::rollout_verdict::LastVerdict;
use super::show;
use super::status::StatusPublisher;
use super::window::{self, Opening};
use crate::trial::Places;

/// The owner name of events about upgrades.
pub(super) const NAME: &str = "upgrades";

/// What upgrades need from the node.
pub struct UpgradeContext {
    /// The resource store.
    pub store: Store,
    /// The event log.
    pub events: Events,
    /// Requests for a restart.
    pub power: Power,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The partitions.
    pub places: Places,
    /// The directory of STATE.
    pub state: PathBuf,
    /// Checks whether the node may restart.
    pub survives: Vec<Arc<dyn SurvivesReboot>>,
    /// Hooks that run before a restart.
    pub before: Vec<Arc<dyn BeforeReboot>>,
}

/// Upgrades the node. Clones share it.
#[derive(Clone)]
pub struct UpgradeHandle {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub context: UpgradeContext,
    pub published: StatusPublisher,
    pub history: History,
    /// Held while the outcome of an upgrade is changed, or by the running job.
    pub current: Mutex<Option<Running>>,
    /// The last verdict of the rollout, for the check before a restart.
    pub word: LastVerdict,
}

/// The running job.
pub(super) struct Running {
    pub id: String,
    pub stop: Arc<AtomicBool>,
    pub cancelled: Arc<AtomicBool>,
    /// Set when it has ended.
    pub done: watch::Receiver<bool>,
}

/// A request for an upgrade, by the API, a rollout, or the node itself.
pub(super) struct Request {
    /// What is requested.
    pub start: StartUpgrade,
    /// The client's bundle, if it is pushed.
    pub pushed: Option<Box<dyn PushedBundle>>,
    /// The manifest that the bundle must have; any when none is given.
    pub pin: Option<Digest>,
    /// The entry of an interrupted upgrade.
    pub resumed: Option<Entry>,
}

impl UpgradeHandle {
    /// Makes the handle; reads the history of upgrades.
    pub fn new(context: UpgradeContext) -> Self {
        let handle = UpgradeHandle {
            shared: Arc::new(Shared {
                published: StatusPublisher::new(context.store.clone()),
                history: History::open(&context.state),
                context,
                current: Mutex::new(None),
                word: LastVerdict::default(),
            }),
        };
        handle.refresh();
        handle
    }

    pub(super) fn config(&self) -> Config {
        let config: Option<MachineConfig> = self.shared.context.store.get(state::kinds::NODE);
        config.map(|config| config.machine.upgrades).unwrap_or_default()
    }

    /// Returns the time in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        let now = self
            .shared
            .context
            .clock
            .now()
            .duration_since(SystemTime::UNIX_EPOCH);
        i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
    }

    /// Lists why the node should not restart now.
    pub(super) fn objections(&self) -> Vec<String> {
        self.shared
            .context
            .survives
            .iter()
            .flat_map(|part| part.objections())
            .collect()
    }

    /// Publishes what changes by itself: the state of the trial, and when the next window opens. Returns the latter.
    pub(super) fn refresh(&self) -> Option<Opening> {
        let context = &self.shared.context;
        let trial: TrialStatus = context.store.get(NODE).unwrap_or(TrialStatus::None);
        let health: HealthStatus = context.store.get(NODE).unwrap_or_default();
        let uptime = u64::try_from(context.clock.since_boot().as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(self.now_ms() / 1000).unwrap_or(0);
        let window = self.config().window;
        let opening = window.as_ref().map(|window| window::look(window, now));
        let opens = match (opening, window) {
            (Some(Opening::At(start)), _) => start,
            (Some(Opening::Until(end)), Some(window)) => {
                end.saturating_sub(window.duration.duration().as_secs())
            }
            _ => 0,
        };
        self.shared.published.update(|_, extra| {
            extra.trial = show::trial(&trial, &health, uptime);
            extra.next_window_unix_ms = i64::try_from(opens).unwrap_or(0).saturating_mul(1000);
        });
        opening
    }

    /// Returns the ID of the upgrade in progress.
    pub(super) async fn busy(&self) -> Option<String> {
        worked_on(&*self.shared.current.lock().await)
    }

    /// Reads slots and record, off the async threads.
    pub(super) async fn system(&self) -> Result<RunningSystem, Error> {
        let boot: BootStatus = self.shared.context.store.get(NODE).unwrap_or_default();
        let places = self.shared.context.places.clone();
        blocking(move || RunningSystem::look(&places, &boot)).await?
    }

    /// Stores an entry of the history. Logs if it cannot be stored.
    pub(super) async fn write_down(&self, entry: Entry) {
        if let Err(error) = self.put(entry).await {
            self.shared.context.events.warning(NAME, chain(&error));
        }
    }

    /// Stores the next step of an upgrade. One that a rollout started continues only if that succeeds: otherwise the node would retry
    /// forever what is not known to have failed.
    pub(super) async fn write_down_first(&self, entry: Entry) -> Result<(), Error> {
        match entry.pin() {
            Some(_) => self.put(entry).await,
            None => {
                self.write_down(entry).await;
                Ok(())
            }
        }
    }

    async fn put(&self, entry: Entry) -> Result<(), Error> {
        let history = self.shared.history.clone();
        blocking(move || history.put(entry).map_err(Error::History)).await?
    }

    /// Starts an upgrade, and returns its ID.
    pub(super) async fn begin(&self, request: Request) -> Result<String, BackendError> {
        let mut current = self.shared.current.lock().await;
        self.begin_under(&mut current, request).await
    }

    /// Starts an upgrade, for a caller that holds `current`.
    pub(super) async fn begin_under(
        &self,
        current: &mut Option<Running>,
        request: Request,
    ) -> Result<String, BackendError> {
        self.check_free(current)?;
        if request.resumed.is_none() {
            self.check_waiting(request.pin)?;
        }
        let system = self.system().await.map_err(refused)?;
        let config = self.config();
        if system.is_armed() {
            return Err(BackendError::Refused(
                "an upgrade is armed: restart the node to try it, or cancel it with `bedplate upgrade cancel`".to_owned(),
            ));
        }
        if request.start.mode == Mode::Window && config.window.is_none() && !request.start.plan_only {
            return Err(BackendError::Refused(
                "the machine config has no maintenance window: set machine.upgrades.window, or choose another mode"
                    .to_owned(),
            ));
        }
        let entry = self.entry(&request, &system);
        let id = entry.id.clone();
        if !request.start.plan_only {
            self.supersede(&system, &id).await;
            if let Err(error) = self.write_down_first(entry.clone()).await {
                let mut entry = entry;
                entry.end(Outcome::Failed, chain(&error), self.now_ms());
                self.write_down(entry).await;
                return Err(refused(error));
            }
        }
        self.shared.published.update(|status, extra| {
            *status = UpgradeStatus {
                id: entry.id.clone(),
                stage: Stage::Opening,
                from_version: entry.from.clone(),
                source: entry.source.clone(),
                mode: entry.mode,
                started_unix_ms: entry.started_ms,
                started_uptime_ms: u64::try_from(self.shared.context.clock.since_boot().as_millis())
                    .unwrap_or(u64::MAX),
                ..UpgradeStatus::default()
            };
            extra.plan = None;
        });
        let what = if request.start.plan_only {
            "a plan of an upgrade"
        } else {
            "an upgrade"
        };
        self.shared.context.events.info(
            NAME,
            format!(
                "{what} from {} was requested by {}",
                entry.source, request.start.who
            ),
        );
        let (finished, done) = watch::channel(false);
        let running = Running {
            id: id.clone(),
            stop: Arc::default(),
            cancelled: Arc::default(),
            done,
        };
        let job = self.job(request, system, &config, running.stop.clone());
        let (stop, cancelled) = (running.stop.clone(), running.cancelled.clone());
        *current = Some(running);
        let handle = self.clone();
        tokio::spawn(async move {
            let (known, plan_only) = (entry.clone(), job.plan_only);
            if let Err(reason) = caught(handle.drive(job, entry, &stop, &cancelled)).await {
                handle.end(known, plan_only, Outcome::Failed, &reason).await;
            }
            finished.send_replace(true);
        });
        Ok(id)
    }

    pub(super) fn check_free(&self, current: &Option<Running>) -> Result<(), BackendError> {
        if let Some(id) = worked_on(current) {
            return Err(BackendError::Refused(format!(
                "upgrade {id} is already running: `bedplate upgrade status` shows it, `bedplate upgrade cancel` ends it"
            )));
        }
        if self.shared.context.power.requested().is_some() {
            return Err(BackendError::Refused(
                "the node is stopping; try again when it is back".to_owned(),
            ));
        }
        Ok(())
    }

    /// Refuses to replace a waiting upgrade. Only a rollout of another release may, if a rollout started it.
    pub(super) fn check_waiting(&self, pin: Option<Digest>) -> Result<(), BackendError> {
        let open = self.shared.history.open_entry();
        let Some(waiting) = open.filter(|entry| entry.stage == Stage::Waiting) else {
            return Ok(());
        };
        match (pin, waiting.pin()) {
            (Some(pin), Some(held)) if pin != held => Ok(()),
            _ => Err(BackendError::Refused(
                "an upgrade waits for its maintenance window, or for its rollout: cancel it with `bedplate upgrade cancel`"
                    .to_owned(),
            )),
        }
    }

    /// Makes the entry of an upgrade; an interrupted one keeps its entry.
    fn entry(&self, request: &Request, system: &RunningSystem) -> Entry {
        if let Some(mut entry) = request.resumed.clone() {
            entry.slot = Some(system.target());
            entry.again = entry.again.map(|again| ResumeRequest {
                attempts: again.attempts + 1,
                ..again
            });
            return entry;
        }
        let url = request.start.source.url();
        let again = url.map(|url| ResumeRequest {
            url: url.to_owned(),
            force: request.start.force,
            rate_limit: request.start.rate_limit,
            pin: request.pin,
            attempts: 0,
        });
        Entry {
            id: uuid::Uuid::new_v4().simple().to_string()[..12].to_owned(),
            from: system.release.manifest.version.to_string(),
            // A pinned manifest is known before it is read.
            manifest: request.pin.map(|pin| pin.to_string()).unwrap_or_default(),
            slot: Some(system.target()),
            source: url.map_or_else(|| "pushed".to_owned(), remote::shown),
            mode: request.start.mode,
            started_ms: self.now_ms(),
            stage: Stage::Opening,
            again,
            ..Entry::default()
        }
    }

    fn job(&self, request: Request, system: RunningSystem, config: &Config, stop: Arc<AtomicBool>) -> Job {
        let limit = config.rate_limit.map(|rate| rate.bytes());
        let rate = [request.start.rate_limit, limit].into_iter().flatten().min();
        let origin = match request.pushed {
            Some(bundle) => Origin::Client(bundle),
            None => Origin::Url {
                url: request.start.source.url().unwrap_or_default().to_owned(),
                proxy: config.proxy.as_ref().map(ToString::to_string),
                authority: config.ca.as_ref().map(ToString::to_string),
            },
        };
        Job {
            system,
            origin,
            rate,
            pin: request.pin,
            plan_only: request.start.plan_only,
            force: request.start.force,
            patient: request.resumed.is_some(),
            objections: self.objections(),
            published: self.shared.published.clone(),
            stop,
        }
    }
}

/// Returns the ID of the upgrade in progress.
pub(super) fn worked_on(current: &Option<Running>) -> Option<String> {
    let running = current.as_ref().filter(|running| !*running.done.borrow());
    running.map(|running| running.id.clone())
}

/// Refuses a call, for this reason.
pub(super) fn refused(error: Error) -> BackendError {
    BackendError::Refused(chain(&error))
}

/// Runs something that blocks briefly.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
