//! Publishes the slots, and commits or abandons a system on trial by the node's health.

use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Health;
use node::events::Events;
use node::power::{Power, Stop};
use slots::{Loaded, Reason, Record, Slot, SlotState};
use state::kinds::config::Phase;
use state::kinds::{BootStatus, ConfigStatus, HealthStatus, NODE, SlotStatus, TrialStatus, UpgradeStatus};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use sys::clock::Clock;

use super::commit;
use super::decision::{self, Verdict};
use super::places::Places;
use super::progress::Progress;
use super::record::{manifest_in, release_in};

/// The polling interval of a trial while nothing changes: its diary follows the kernel's log.
const POLL: Duration = Duration::from_secs(1);

type Find = Box<dyn Fn(&str) -> Option<Places> + Send + Sync>;

/// Sole owner of `SlotStatus` and `TrialStatus`. Without a disk (no loader started the machine) there is no trial.
///
/// Only a slot whose record says trial is ever committed, and only when this very system was started from it. While it
/// is on trial it keeps a diary on the disk.
pub struct Slots {
    find: Find,
    places: Option<Places>,
    clock: Box<dyn Clock>,
    events: Events,
    power: Power,
    committed: bool,
    abandoned: bool,
    keys_kept: bool,
    progress: Progress,
}

impl Slots {
    /// Makes the controller. `find` looks for the partitions on the disk with a GUID, which may appear late.
    pub fn new(
        find: impl Fn(&str) -> Option<Places> + Send + Sync + 'static,
        clock: Box<dyn Clock>,
        events: Events,
        power: Power,
    ) -> Self {
        Slots {
            find: Box::new(find),
            places: None,
            clock,
            events,
            power,
            committed: false,
            abandoned: false,
            keys_kept: false,
            progress: Progress::default(),
        }
    }

    fn publish_slots(&self, store: &Store, places: &Places, loaded: &Loaded) -> Result<(), ControllerError> {
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let Some(record) = loaded.record else {
            return Err(ControllerError::msg(
                "BOOTSTATE holds no valid slot record; the loader tries both slots",
            ));
        };
        for slot in Slot::ALL {
            let status = SlotStatus {
                state: record.slot(slot),
                version: manifest_in(&places.slots[slot.index()], None).map(|manifest| manifest.version),
                preferred: record.preferred == slot,
                running: boot.slot == Some(slot),
                floor: record.floor,
            };
            store.put(self.name(), slot.name(), status)?;
        }
        Ok(())
    }

    fn restart(&self, reason: &str) {
        if self.power.request(Stop::Reboot) {
            self.events.error(self.name(), format!("{reason}: restarting"));
        }
    }

    /// Abandons the running slot, and records that where the next system looks: first in the diary, then in the record.
    ///
    /// The remaining tries are not used, because each would take as long as this one did. Only when there is
    /// no committed system to fall back to does the record stay unchanged, and the loader counts.
    async fn abandon(&mut self, store: &Store, places: &Places, loaded: &Loaded, slot: Slot, reason: &str) {
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let health: HealthStatus = store.get(NODE).unwrap_or_default();
        let now = self.clock.since_boot();
        self.progress.note(places, &boot, &health, now, reason).await;
        let record = loaded
            .record
            .filter(|record| record.slot(slot.other()) == SlotState::Committed);
        if let Some(record) = record
            && let Err(error) = places
                .record()
                .write(loaded, &record.mark_bad(slot, Reason::NotHealthy))
        {
            tracing::warn!("cannot mark slot {slot} as bad: {error}; the loader counts its tries");
        }
        self.abandoned = true;
        self.restart(reason);
    }

    /// Commits the running slot, with its floor.
    fn commit(
        &mut self,
        places: &Places,
        boot: &BootStatus,
        loaded: &Loaded,
        slot: Slot,
        record: &Record,
    ) -> Result<(), ControllerError> {
        let release = release_in(&places.slots[slot.index()], boot.manifest.as_deref());
        let release = release.filter(|_| boot.manifest.is_some());
        if release.is_none() && boot.manifest.is_some() {
            // Its floor would be lost forever.
            return Err(ControllerError::msg(format!(
                "slot {slot} is healthy, but its manifest cannot be read: it is not kept yet"
            )));
        }
        places
            .record()
            .write(loaded, &commit::kept(record, slot, release.as_ref()))?;
        self.committed = true;
        self.events
            .info(self.name(), format!("slot {slot} is healthy and is kept"));
        Ok(())
    }

    /// Makes the loader trust the keys of a committed release. Once is enough.
    fn keep_keys(&mut self, places: &Places, boot: &BootStatus) {
        if self.keys_kept {
            return;
        }
        match commit::keep_keys(places, boot, self.committed) {
            Ok(true) => self.events.info(
                self.name(),
                "the loader trusts the keys of this release from now on",
            ),
            Ok(false) => {}
            Err(error) => self.events.error(self.name(), chain(&error)),
        }
        self.keys_kept = true;
    }

    /// Decides on the trial of the running slot, and acts on the decision.
    async fn judge(
        &mut self,
        store: &Store,
        places: &Places,
        loaded: &Loaded,
        wanted: &Health,
    ) -> Result<TrialStatus, ControllerError> {
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let Some((slot, record)) = boot.slot.zip(loaded.record) else {
            return Ok(TrialStatus::None);
        };
        match record.slot(slot) {
            SlotState::Trial { .. } => {}
            SlotState::Committed => {
                self.keep_keys(places, &boot);
                return Ok(if self.committed {
                    TrialStatus::Committed
                } else {
                    TrialStatus::None
                });
            }
            // We marked it: the restart is in progress.
            SlotState::Bad(_) if self.abandoned => return Ok(TrialStatus::GivenUp),
            SlotState::Empty | SlotState::Bad(_) => return Ok(TrialStatus::None),
        }
        // No amount of time makes this release accept the config, but the previous one could. With nothing to fall back to, its owner has the
        // time of a trial to repair it.
        if let Some(reason) = locked(store).filter(|_| record.slot(slot.other()) == SlotState::Committed) {
            let reason = format!("slot {slot} leaves the node locked: {reason}");
            self.abandon(store, places, loaded, slot, &reason).await;
            return Ok(TrialStatus::GivenUp);
        }
        let health: HealthStatus = store.get(NODE).unwrap_or_default();
        let verdict = decision::decide(decision::Facts {
            now: self.clock.since_boot(),
            healthy_since: health.keepable_since(),
            commit_after: wanted.commit_after.into(),
            timeout: wanted.timeout.into(),
        });
        Ok(match verdict {
            Verdict::Wait(deadline) => TrialStatus::Waiting {
                deadline_ms: millis(deadline),
            },
            Verdict::Hold(until) => TrialStatus::Holding {
                until_ms: millis(until),
            },
            Verdict::Commit => {
                self.commit(places, &boot, loaded, slot, &record)?;
                self.keep_keys(places, &boot);
                TrialStatus::Committed
            }
            Verdict::FallBack => {
                let reason = format!("slot {slot} was not healthy in time");
                self.abandon(store, places, loaded, slot, &reason).await;
                TrialStatus::GivenUp
            }
        })
    }
}

/// Returns why the node is locked, if it is.
fn locked(store: &Store) -> Option<String> {
    match store.get::<ConfigStatus>(NODE)?.phase {
        Phase::Locked { reason } => Some(reason),
        Phase::Maintenance | Phase::Running { .. } => None,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Controller for Slots {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ConfigStatus::KIND,
            BootStatus::KIND,
            HealthStatus::KIND,
            // Upgrades change the record.
            UpgradeStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[SlotStatus::KIND, TrialStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(NODE);
        let wanted = config.map(|config| config.machine.health).unwrap_or_default();
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let Some(guid) = boot.disk else {
            store.put(self.name(), NODE, TrialStatus::None)?;
            return Ok(Action::WaitForChange);
        };
        if self.places.is_none() {
            self.places = (self.find)(&guid);
        }
        let Some(places) = self.places.clone() else {
            let timeout: Duration = wanted.timeout.into();
            if boot.cause.as_deref() == Some("trial") && self.clock.since_boot() >= timeout {
                self.restart("the disk of the system on trial did not appear in time");
            }
            return Err(ControllerError::msg(format!(
                "disk {guid} does not show its slots yet"
            )));
        };
        let loaded = places.record().read()?;
        let trial = self.judge(store, &places, &loaded, &wanted).await?;
        let waiting = matches!(trial, TrialStatus::Waiting { .. } | TrialStatus::Holding { .. });
        if waiting {
            let health: HealthStatus = store.get(NODE).unwrap_or_default();
            let boot: BootStatus = store.get(NODE).unwrap_or_default();
            let now = self.clock.since_boot();
            self.progress.note(&places, &boot, &health, now, "").await;
        }
        let after = if waiting { loaded } else { places.record().read()? };
        self.publish_slots(store, &places, &after)?;
        store.put(self.name(), NODE, trial)?;
        Ok(if waiting {
            Action::After(POLL)
        } else {
            Action::WaitForChange
        })
    }
}

#[cfg(test)]
mod tests;
