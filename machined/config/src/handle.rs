//! Applies configs, for the API and for the start.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::v1alpha1::{ApplyConfigResponse, ApplyMode};
use async_trait::async_trait;
use backend::{Apply, BackendError, Configs, CurrentConfig};
use machine_config::{Faults, MachineConfig};
use node::events::Events;
use node::power::{Power, Stop};
use owner::Owner;
use pki::{NodeClock, check_config};
use state::kinds::config::{Pending, Phase, Source};
use state::kinds::{ConfigStatus, NODE, OwnerStatus};
use state::{OwnerConflict, Store, chain};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::caller::{CallerError, authorise};
use super::disk::{ConfigDisk, DiskError};
use super::plan::{ApplyPlan, Effect, Mode, decide};
use super::told::told;
use super::{Acquired, Found, Refusal, firmware_lines};

mod adopt;
mod revision;

/// How long mode `try` waits when nobody says.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it waits at most: a trial that nobody ends is no trial.
const TRY_LONGEST: Duration = Duration::from_secs(3600);
/// The owner of the config's resources.
const OWNER: &str = "config";

/// Holds the config of the node. Clones share it.
#[derive(Clone)]
pub struct ConfigHandle {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    disk: ConfigDisk,
    power: Power,
    events: Events,
    clock: Arc<NodeClock>,
    /// Distinguishes revisions of this start from those of others: each counts generations from 1.
    start: u64,
    state: Mutex<State>,
}

/// What is not in the store.
struct State {
    status: ConfigStatus,
    /// Configs that were found at the start and could not be used.
    at_start: Vec<String>,
    /// What mode `try` goes back to, and the task that does it; dropped, it does not.
    trial: Option<Trial>,
}

struct Trial {
    before: Option<MachineConfig>,
    phase: Phase,
    _timer: AbortOnDropHandle<()>,
}

/// Says why a config was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error("the machine config is not valid")]
    Faults(#[from] Faults),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Owner(#[from] OwnerConflict),
    #[error("the node does not wait for a machine config any more")]
    NotAwaited,
    #[error(
        "the machine config was changed by somebody else since it was read; read it again, and make your change there"
    )]
    Changed,
    #[error(
        "another machine config waits for the next start of the node, and would be lost; reboot the node first, or apply a whole config"
    )]
    Waiting,
}

impl ConfigHandle {
    /// Publishes what was found at the start, and takes configs from then on.
    pub fn start(
        store: Store,
        disk: ConfigDisk,
        power: Power,
        events: Events,
        clock: Arc<NodeClock>,
        acquired: Acquired,
    ) -> Result<Self, OwnerConflict> {
        for problem in &acquired.problems {
            events.warning(OWNER, problem.clone());
        }
        let (phase, config) = match acquired.found {
            Found::Config(config, source) => (Phase::Running { source }, Some(*config)),
            Found::Nothing => (Phase::Maintenance, None),
            Found::Locked(reason) => {
                let told = format!("the node is locked: {reason}; only its owner may repair it");
                events.error(OWNER, told);
                let reason = reason.to_owned();
                (Phase::Locked { reason }, None)
            }
        };
        let status = ConfigStatus {
            phase,
            generation: u64::from(config.is_some()),
            pending: None,
            problems: acquired.problems,
        };
        store.put(OWNER, NODE, OwnerStatus::from(&acquired.owner))?;
        if let Some(config) = config {
            store.put(OWNER, NODE, config)?;
        }
        store.put(OWNER, NODE, status.clone())?;
        let state = Mutex::new(State {
            at_start: status.problems.clone(),
            status,
            trial: None,
        });
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                disk,
                power,
                events,
                clock,
                start: RandomState::new().build_hasher().finish(),
                state,
            }),
        })
    }

    /// Returns the config in effect, with its secrets; `None` in maintenance mode.
    pub fn config(&self) -> Option<MachineConfig> {
        self.shared.store.get(NODE)
    }

    /// Decides what a document would mean, and, unless it is a dry run, does it.
    async fn apply_in(&self, apply: &Apply, mode: Mode) -> Result<ApplyPlan, ApplyError> {
        // One at a time: what is decided here must still be true when it is done.
        let mut state = self.shared.state.lock().await;
        let current = self.config();
        let owner = self.shared.store.get::<OwnerStatus>(NODE);
        authorise(&apply.caller, current.as_ref(), owner.as_ref())?;
        if let Some(expected) = &apply.expected_revision {
            self.expect_revision(&state.status, expected)?;
        }
        let (new, plan) = self.examine(&apply.yaml, current.as_ref(), mode)?;
        if !apply.dry_run {
            let timeout = match apply.try_timeout {
                Duration::ZERO => TRY_TIMEOUT,
                timeout => timeout.min(TRY_LONGEST),
            };
            apply.caller.grant.settle();
            self.carry_out(&mut state, plan.effect, new, Source::Api, timeout)
                .await?;
            self.shared
                .events
                .info(OWNER, told(&plan, &apply.caller.who, timeout));
        }
        Ok(plan)
    }

    /// Reads a document, and decides what it would mean on this node.
    fn examine(
        &self,
        yaml: &str,
        current: Option<&MachineConfig>,
        mode: Mode,
    ) -> Result<(MachineConfig, ApplyPlan), ApplyError> {
        let new = match current {
            Some(current) => machine_config::parse_over(yaml, current)?,
            None => machine_config::parse(yaml)?,
        };
        // Whoever applies it would be locked out, and so would everybody else.
        check_config(yaml, &new, self.shared.clock.moment(SystemTime::now()))?;
        firmware_lines::check(Path::new(firmware_files::FOLDER), &new)?;
        let mut plan = decide(current, &new, mode)?;
        if self.shared.disk.state_lost && mode == Mode::Auto {
            // STATE is recreated for it at the next start.
            plan.effect = Effect::Reboot;
        }
        Ok((new, plan))
    }

    async fn carry_out(
        &self,
        state: &mut State,
        effect: Effect,
        new: MachineConfig,
        source: Source,
        try_timeout: Duration,
    ) -> Result<(), ApplyError> {
        match effect {
            Effect::Live => {
                let problem = self.file_accepted(&new).await?;
                state.trial = None;
                self.take_effect(state, new, None, source)?;
                if problem.is_some() {
                    state.status.problems.extend(problem);
                    self.publish(state)?;
                }
            }
            Effect::Reboot => {
                state.status.problems.extend(self.file_accepted(&new).await?);
                state.status.pending = Some(Pending::Reboot);
                self.publish(state)?;
                self.shared.power.request(Stop::Reboot);
            }
            Effect::Stage => {
                let yaml = new.to_yaml_with_secrets();
                self.on_disk(move |disk| disk.file_staged(&yaml)).await?;
                // A trial goes on: what is staged waits for the next start all the same.
                if state.trial.is_none() {
                    state.status.pending = Some(Pending::Staged);
                    self.publish(state)?;
                }
            }
            Effect::Try => self.begin_trial(state, new, try_timeout)?,
        }
        Ok(())
    }

    /// Tries a config. A trial of a trial goes back to what was before the first.
    fn begin_trial(
        &self,
        state: &mut State,
        new: MachineConfig,
        timeout: Duration,
    ) -> Result<(), ApplyError> {
        let (before, phase) = match state.trial.take() {
            Some(trial) => (trial.before, trial.phase),
            None => (self.config(), state.status.phase.clone()),
        };
        let handle = self.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            handle.end_trial().await;
        });
        state.trial = Some(Trial {
            before,
            phase,
            _timer: AbortOnDropHandle::new(timer),
        });
        let deadline_uptime_ms =
            node::logs::uptime_ms() + u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let pending = Some(Pending::Trying { deadline_uptime_ms });
        self.take_effect(state, new, pending, Source::Api)?;
        Ok(())
    }

    /// Goes back to what was before the trial, because its time is up.
    async fn end_trial(&self) {
        let mut state = self.shared.state.lock().await;
        let Some(trial) = state.trial.take() else { return };
        let told = "the machine config on trial was not applied for good in time: it is taken back";
        self.shared.events.warning(OWNER, told);
        state.status.phase = trial.phase;
        state.status.pending = None;
        state.status.generation += 1;
        let restored = match trial.before {
            Some(config) => self.shared.store.put(OWNER, NODE, config),
            None => self.shared.store.remove::<MachineConfig>(OWNER, NODE),
        };
        if let Err(error) = restored.and_then(|_| self.publish(&state)) {
            tracing::error!("{error}");
        }
        // The timer that runs this belongs to the trial: dropping it here ends this task, at its end anyway.
        drop(state);
    }

    fn take_effect(
        &self,
        state: &mut State,
        new: MachineConfig,
        pending: Option<Pending>,
        source: Source,
    ) -> Result<(), OwnerConflict> {
        state.status.phase = Phase::Running { source };
        state.status.generation += 1;
        state.status.pending = pending;
        state.status.problems.clear();
        self.shared.store.put(OWNER, NODE, new)?;
        self.publish(state)
    }

    fn publish(&self, state: &State) -> Result<(), OwnerConflict> {
        self.shared.store.put(OWNER, NODE, state.status.clone()).map(drop)
    }

    /// Files the accepted config, and then whose the node is: a node that is cut off between the two has its config, and
    /// makes up for it at the next start. Returns what is wrong with the latter.
    async fn file_accepted(&self, config: &MachineConfig) -> Result<Option<String>, ApplyError> {
        let yaml = config.to_yaml_with_secrets();
        let owner = Owner::of(&config.machine.ca.cert.to_string());
        let status = OwnerStatus::from(&owner);
        let problem = self
            .on_disk(move |disk| {
                disk.file_accepted(&yaml)?;
                Ok(disk.own(&owner))
            })
            .await?;
        if let Some(problem) = &problem {
            self.shared.events.error(OWNER, problem.clone());
        }
        self.shared.store.put(OWNER, NODE, status)?;
        Ok(problem)
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce(&ConfigDisk) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let disk = self.shared.disk.clone();
        tokio::task::spawn_blocking(move || act(&disk))
            .await
            .expect("writing a file neither panics nor is cancelled")
    }
}

#[async_trait]
impl Configs for ConfigHandle {
    fn current(&self, secrets: bool) -> Option<CurrentConfig> {
        // The revision first: read after a change and the config before it, the change would be lost.
        let revision = self.revision(&self.shared.store.get(NODE)?);
        let config = self.config()?;
        let yaml = match secrets {
            true => config.to_yaml_with_secrets(),
            false => config.to_yaml(),
        };
        Some(CurrentConfig { yaml, revision })
    }

    async fn apply(&self, apply: Apply) -> Result<ApplyConfigResponse, BackendError> {
        let mode = match apply.mode {
            ApplyMode::Unspecified | ApplyMode::Auto => Mode::Auto,
            ApplyMode::NoReboot => Mode::NoReboot,
            ApplyMode::Staged => Mode::Staged,
            ApplyMode::Try => Mode::Try,
        };
        let handle = self.clone();
        // A task of its own: a caller who hangs up must not stop this between the file and the store.
        let task = tokio::spawn(async move { handle.apply_in(&apply, mode).await });
        let ended = task
            .await
            .map_err(|error| BackendError::Internal(chain(&error)))?;
        let plan = ended.map_err(to_backend)?;
        let done = match plan.effect {
            Effect::Live if mode == Mode::Auto => ApplyMode::Auto,
            Effect::Live => ApplyMode::NoReboot,
            Effect::Reboot => ApplyMode::Auto,
            Effect::Stage => ApplyMode::Staged,
            Effect::Try => ApplyMode::Try,
        };
        Ok(ApplyConfigResponse {
            mode: done.into(),
            reboot: plan.effect == Effect::Reboot,
            changes: plan.changes,
            warnings: plan.warnings,
        })
    }
}

fn to_backend(error: ApplyError) -> BackendError {
    match error {
        ApplyError::Faults(faults) => {
            let text = |fault: &machine_config::Fault| match fault.line {
                0 => fault.message.clone(),
                line => format!("{} (line {line})", fault.message),
            };
            BackendError::Invalid(
                faults
                    .list()
                    .iter()
                    .map(|fault| (fault.path.clone(), text(fault)))
                    .collect(),
            )
        }
        ApplyError::Caller(error) => BackendError::Unauthenticated(error.to_string()),
        ApplyError::Refused(refusal) => BackendError::Refused(refusal.to_string()),
        error @ (ApplyError::Changed | ApplyError::Waiting) => BackendError::Conflict(error.to_string()),
        error @ (ApplyError::Disk(_) | ApplyError::Owner(_) | ApplyError::NotAwaited) => {
            BackendError::Internal(chain(&error))
        }
    }
}
