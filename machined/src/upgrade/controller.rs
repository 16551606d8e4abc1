//! Does what has its time: conclusions, maintenance windows, and upgrades that were interrupted.

use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use slots::{Slot, SlotState};

use super::conclude::{self, Facts};
use super::follow::RolloutStatus;
use super::handle::{NAME, Request, UpgradeHandle, blocking};
use super::history::{Entry, Outcome};
use super::status::{Stage, UpgradeStatus};
use super::window::Opening;
use crate::boot::status::ID;
use crate::boot::{BootStatus, SlotStatus};
use crate::controller::{Action, Controller, ControllerError};
use crate::resource::{Resource, Store};
use crate::run::watchdog::WatchdogStatus;
use crate::time::TimeStatus;
use crate::trial::{HealthStatus, TrialStatus, release_in};

/// How often what passes by itself is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a window that is shut is looked at: the clock may be set meanwhile.
const LOOK_AT_WINDOW: Duration = Duration::from_secs(30);
/// After so long a start an interrupted upgrade is begun again even if the node is not well: it will say why it is refused.
const WELL_BY: Duration = Duration::from_secs(300);

/// Keeps watch over upgrades. Owns no resource: `UpgradeStatus` is the handle's.
pub struct UpgradeKeeper {
    handle: UpgradeHandle,
    /// What the last conclusion was drawn from.
    concluded: Option<(TrialStatus, [SlotState; 2])>,
}

impl UpgradeKeeper {
    /// Makes the controller.
    pub fn new(handle: UpgradeHandle) -> Self {
        UpgradeKeeper {
            handle,
            concluded: None,
        }
    }

    /// Writes down what became of upgrades, when something is new.
    async fn conclude(&mut self, store: &Store, trial: &TrialStatus) -> Result<(), ControllerError> {
        let state = |slot: Slot| store.get::<SlotStatus>(slot.name()).map(|status| status.state);
        let (Some(a), Some(b)) = (state(Slot::A), state(Slot::B)) else {
            return Ok(());
        };
        // How long a trial still has is no news.
        let phase = match trial {
            TrialStatus::Waiting { .. } | TrialStatus::Holding { .. } => TrialStatus::None,
            other => other.clone(),
        };
        let seen = (phase, [a, b]);
        if self.concluded.as_ref() == Some(&seen) {
            return Ok(());
        }
        let boot: BootStatus = store.get(ID).unwrap_or_default();
        let (Some(running), Some(manifest)) = (boot.slot, boot.manifest) else {
            return Ok(());
        };
        let places = self.handle.shared.means.places.clone();
        let looked = blocking(move || {
            let release = release_in(&places.slots[running.index()], Some(&manifest));
            (
                release,
                release_in(&places.slots[running.other().index()], None),
                places.diary().read(),
            )
        });
        let (release, other, diary) = looked.await.map_err(ControllerError::msg)?;
        let Some(release) = release else { return Ok(()) };
        let facts = Facts {
            running,
            manifest: release.id(),
            version: release.manifest.version.to_string(),
            states: [a, b],
            other_manifest: other.as_ref().map(|other| other.id()).unwrap_or_default(),
            other_version: other
                .map(|other| other.manifest.version.to_string())
                .unwrap_or_default(),
            kept_now: seen.0 == TrialStatus::Committed,
            diary: diary?,
            busy: self.handle.busy().await,
            watchdog: store
                .get::<WatchdogStatus>(ID)
                .is_some_and(|status| status.restarted),
            boot_id: boot.boot_id,
            now_ms: self.handle.now_ms(),
        };
        for entry in conclude::conclude(&self.handle.shared.history.entries(), &facts) {
            self.tell(&entry);
            self.handle.write_down(entry).await;
        }
        self.concluded = Some(seen);
        Ok(())
    }

    fn tell(&self, entry: &Entry) {
        let events = &self.handle.shared.means.events;
        match entry.outcome {
            Some(Outcome::Committed) => events.info(NAME, format!("{} is kept", entry.to)),
            Some(Outcome::FellBack) => {
                events.error(
                    NAME,
                    format!(
                        "{} failed, and {} runs again: {}",
                        entry.to, entry.from, entry.cause
                    ),
                );
            }
            Some(_) => events.warning(
                NAME,
                format!("the upgrade to {} ended: {}", entry.to, entry.cause),
            ),
            None => {}
        }
    }

    /// Goes on with an upgrade that waits for its window; returns when to look again.
    async fn wait_for_window(&self, entry: Entry, opening: Option<Opening>, store: &Store) -> Duration {
        let synchronised = store
            .get::<TimeStatus>(ID)
            .is_some_and(|status| status.synchronised);
        let held = held_back(&entry, store);
        let board = &self.handle.shared.board;
        if board.status().id != entry.id {
            board.update(|status, _| *status = shown_again(&entry));
        }
        let message = match opening {
            None => "the machine config names no maintenance window any more",
            Some(_) if !synchronised => {
                "the clock is not in step with a server: whether the window is open cannot be told"
            }
            _ if held.is_some() => held.as_deref().unwrap_or_default(),
            Some(Opening::At(_)) => "",
            Some(Opening::Until(_)) => match self.handle.objections().as_slice() {
                [] => {
                    self.handle.arm(entry).await;
                    return LOOK_AT_WINDOW;
                }
                _ => "the window is open, but the node is not well",
            },
        };
        board.update(|status, _| message.clone_into(&mut status.message));
        LOOK_AT_WINDOW
    }

    /// Begins an upgrade again that a restart interrupted, once the node is well.
    async fn begin_again(&self, entry: Entry, store: &Store) -> Option<Duration> {
        let again = entry.again.clone()?;
        let well = store.get::<HealthStatus>(ID).is_some_and(|health| health.healthy);
        let boot: BootStatus = store.get(ID).unwrap_or_default();
        let kept = boot.slot.and_then(|slot| store.get::<SlotStatus>(slot.name()));
        let kept = kept.is_some_and(|status| status.state == SlotState::Committed);
        if !kept || !(well || self.handle.shared.means.clock.since_boot() >= WELL_BY) {
            return Some(LOOK_AT_WINDOW);
        }
        let request = Request {
            url: Some(again.url),
            pushed: None,
            mode: entry.mode,
            plan_only: false,
            force: again.force,
            rate_limit: again.rate_limit,
            pin: again.pin,
            who: "the node itself, after a restart".to_owned(),
            resumed: Some(entry.clone()),
        };
        if let Err(error) = self.handle.begin(request).await {
            let mut entry = entry;
            entry.end(Outcome::Failed, error.to_string(), self.handle.now_ms());
            self.tell(&entry);
            self.handle.write_down(entry).await;
        }
        None
    }
}

/// Says why an upgrade that a rollout began is not armed, though it could be: what is stopped before a node restarts is stopped
/// for that node.
fn held_back(entry: &Entry, store: &Store) -> Option<String> {
    entry.again.as_ref()?.pin?;
    let config: MachineConfig = store.get(crate::config::CONFIG_ID)?;
    config.machine.upgrades.rollout?;
    let Some(status) = store.get::<RolloutStatus>(ID) else {
        return Some("the rollout has yet to be looked at".to_owned());
    };
    let seen = status.document.filter(|seen| seen.manifest == entry.manifest)?;
    seen.stopped
        .map(|reason| format!("rollout {} is stopped: {reason}", seen.id))
}

/// Returns the status of an upgrade that waits since before the last restart.
fn shown_again(entry: &Entry) -> UpgradeStatus {
    UpgradeStatus {
        id: entry.id.clone(),
        stage: Stage::Waiting,
        from_version: entry.from.clone(),
        to_version: entry.to.clone(),
        source: entry.source.clone(),
        mode: entry.mode,
        fetched_bytes: entry.fetched,
        written_bytes: entry.written,
        started_unix_ms: entry.started_ms,
        ..UpgradeStatus::default()
    }
}

#[async_trait]
impl Controller for UpgradeKeeper {
    fn name(&self) -> &'static str {
        "upgrade-keeper"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            TrialStatus::KIND,
            HealthStatus::KIND,
            SlotStatus::KIND,
            BootStatus::KIND,
            MachineConfig::KIND,
            TimeStatus::KIND,
            UpgradeStatus::KIND,
            RolloutStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let trial: TrialStatus = store.get(ID).unwrap_or(TrialStatus::None);
        let opening = self.handle.refresh();
        self.conclude(store, &trial).await?;

        let mut look =
            matches!(trial, TrialStatus::Waiting { .. } | TrialStatus::Holding { .. }).then_some(LOOK);
        if self.handle.busy().await.is_none() && self.handle.shared.means.power.requested().is_none() {
            let open = self.handle.shared.history.open_entry();
            let next = match open {
                Some(entry) if entry.stage == Stage::Waiting => {
                    Some(self.wait_for_window(entry, opening, store).await)
                }
                Some(entry) if !matches!(entry.stage, Stage::Armed | Stage::Rebooting) => {
                    self.begin_again(entry, store).await
                }
                _ => None,
            };
            look = [look, next].into_iter().flatten().min();
        }
        Ok(look.map_or(Action::WaitForChange, Action::After))
    }
}
