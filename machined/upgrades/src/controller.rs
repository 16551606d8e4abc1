//! Concludes, watches maintenance windows, and resumes interrupted upgrades.

use std::time::Duration;

use async_trait::async_trait;
use backend::StartUpgrade;
use backend::UpgradeSource;
use machine_config::MachineConfig;
use slots::{Slot, SlotState};
use state::kinds::upgrade::{Mode, Stage};
use state::kinds::{
    BootStatus, HealthStatus, NODE, RolloutStatus, SlotStatus, TimeStatus, TrialStatus, UpgradeStatus,
    WatchdogStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store};

use super::conclude::{self, Facts};
use super::handle::{NAME, Request, Running, UpgradeHandle, blocking, worked_on};
use super::history::{Entry, Outcome};
use super::window::Opening;
use crate::trial::release_in;

/// The polling interval of states that change by themselves.
const POLL: Duration = Duration::from_secs(1);
/// The polling interval of a closed window: the clock may be set in the meantime.
const POLL_WINDOW: Duration = Duration::from_secs(30);
/// After this time an interrupted upgrade is resumed even if the node is unhealthy: it will report why it is refused.
const HEALTHY_BY: Duration = Duration::from_secs(300);

/// Watches upgrades. Owns no resource: `UpgradeStatus` is the handle's.
pub struct UpgradeController {
    handle: UpgradeHandle,
    /// The facts of the last conclusion.
    concluded: Option<(TrialStatus, [SlotState; 2])>,
}

impl UpgradeController {
    /// Makes the controller.
    pub fn new(handle: UpgradeHandle) -> Self {
        UpgradeController {
            handle,
            concluded: None,
        }
    }

    /// Records the outcome of upgrades, if there is a new one.
    async fn conclude(
        &mut self,
        store: &Store,
        trial: &TrialStatus,
        busy: Option<String>,
    ) -> Result<(), ControllerError> {
        let state = |slot: Slot| store.get::<SlotStatus>(slot.name()).map(|status| status.state);
        let (Some(a), Some(b)) = (state(Slot::A), state(Slot::B)) else {
            return Ok(());
        };
        // The remaining time of a trial is not a change.
        let phase = match trial {
            TrialStatus::Waiting { .. } | TrialStatus::Holding { .. } => TrialStatus::None,
            other => other.clone(),
        };
        let seen = (phase, [a, b]);
        if self.concluded.as_ref() == Some(&seen) {
            return Ok(());
        }
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let (Some(running), Some(manifest)) = (boot.slot, boot.manifest) else {
            return Ok(());
        };
        let places = self.handle.shared.context.places.clone();
        let looked = blocking(move || {
            let release = release_in(&places.slots[running.index()], Some(&manifest));
            (
                release,
                release_in(&places.slots[running.other().index()], None),
                places.diary().read(),
            )
        });
        let (release, other, diary) = looked.await?;
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
            busy,
            watchdog: store
                .get::<WatchdogStatus>(NODE)
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
        let events = &self.handle.shared.context.events;
        match entry.outcome {
            Some(Outcome::Committed) => events.info(NAME, format!("{} is kept", entry.to)),
            Some(Outcome::FellBack) => {
                events.error(
                    NAME,
                    format!(
                        "{} failed, and {} is running again: {}",
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

    /// Continues a complete upgrade; returns when to poll again. Nobody may change it in the meantime.
    async fn wait(&self, entry: Entry, opening: Option<Opening>, store: &Store) -> Duration {
        let published = &self.handle.shared.published;
        if published.status().id != entry.id {
            published.update(|status, _| *status = restored_status(&entry));
        }
        match self.too_early(&entry, opening, store) {
            None => self.handle.arm(entry).await,
            Some(message) => published.update(|status, _| status.message = message),
        }
        POLL_WINDOW
    }

    /// Returns why the node does not restart into it now; an empty text when its window is not open yet.
    fn too_early(&self, entry: &Entry, opening: Option<Opening>, store: &Store) -> Option<String> {
        if entry.mode == Mode::Window {
            let synchronised = store
                .get::<TimeStatus>(NODE)
                .is_some_and(|status| status.synchronised);
            match opening {
                None => return Some("the machine config has no maintenance window any more".to_owned()),
                Some(_) if !synchronised => {
                    let why = "the clock is not synchronized, so it is unknown whether the window is open";
                    return Some(why.to_owned());
                }
                Some(Opening::At(_)) => {
                    let stands = self.handle.hold_reason(entry).filter(|why| !why.ask);
                    return Some(stands.map(|why| why.text).unwrap_or_default());
                }
                Some(Opening::Until(_)) => {}
            }
        }
        if !self.handle.objections().is_empty() {
            return Some("it could restart now, but the node is unhealthy".to_owned());
        }
        self.handle.hold_or_poll(entry)
    }

    /// Resumes an upgrade that a restart interrupted, once the node is healthy. Nobody may change it in the meantime.
    async fn resume(&self, current: &mut Option<Running>, entry: Entry, store: &Store) -> Option<Duration> {
        let again = entry.again.clone()?;
        let well = store
            .get::<HealthStatus>(NODE)
            .is_some_and(|health| health.meets_requirements());
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let kept = boot.slot.and_then(|slot| store.get::<SlotStatus>(slot.name()));
        let kept = kept.is_some_and(|status| status.state == SlotState::Committed);
        if !kept || !(well || self.handle.shared.context.clock.since_boot() >= HEALTHY_BY) {
            return Some(POLL_WINDOW);
        }
        if let Some(why) = self.handle.hold_or_poll(&entry) {
            let published = &self.handle.shared.published;
            published.update(|status, _| status.message = why);
            return Some(POLL_WINDOW);
        }
        let request = Request {
            start: StartUpgrade {
                source: UpgradeSource::Url(again.url),
                mode: entry.mode,
                plan_only: false,
                force: again.force,
                rate_limit: again.rate_limit,
                who: "the node itself, after a restart".to_owned(),
            },
            pushed: None,
            pin: again.pin,
            resumed: Some(entry.clone()),
        };
        if let Err(error) = self.handle.begin_under(current, request).await {
            let mut entry = entry;
            entry.end(Outcome::Failed, error.to_string(), self.handle.now_ms());
            self.tell(&entry);
            self.handle.write_down(entry).await;
        }
        None
    }
}

/// Returns the status of an upgrade that has been waiting since before the last restart.
fn restored_status(entry: &Entry) -> UpgradeStatus {
    UpgradeStatus {
        id: entry.id.clone(),
        stage: Stage::Waiting,
        from_version: entry.from.clone(),
        to_version: entry.to.clone(),
        manifest: entry.manifest.clone(),
        source: entry.source.clone(),
        mode: entry.mode,
        fetched_bytes: entry.fetched,
        written_bytes: entry.written,
        started_unix_ms: entry.started_ms,
        ..UpgradeStatus::default()
    }
}

#[async_trait]
impl Controller for UpgradeController {
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
        let trial: TrialStatus = store.get(NODE).unwrap_or(TrialStatus::None);
        let opening = self.handle.refresh();
        // Held to the end: otherwise an upgrade that is cancelled in the meantime would be armed, or open again.
        let shared = self.handle.shared.clone();
        let mut current = shared.current.lock().await;
        let busy = worked_on(&current);
        self.conclude(store, &trial, busy.clone()).await?;

        let mut look =
            matches!(trial, TrialStatus::Waiting { .. } | TrialStatus::Holding { .. }).then_some(POLL);
        if shared.context.power.requested().is_none() {
            let open = shared.history.open_entry();
            let next = match open {
                // It may be about to finish, which is not signalled.
                _ if busy.is_some() => Some(POLL),
                Some(entry) if entry.stage == Stage::Waiting => Some(self.wait(entry, opening, store).await),
                Some(entry) if !matches!(entry.stage, Stage::Armed | Stage::Rebooting) => {
                    self.resume(&mut current, entry, store).await
                }
                _ => None,
            };
            look = [look, next].into_iter().flatten().min();
        }
        Ok(look.map_or(Action::WaitForChange, Action::After))
    }
}
