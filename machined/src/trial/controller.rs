//! Publishes the slots and the node's health, and keeps or gives up a system on trial.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Health;
use slots::{Loaded, Slot, SlotState};
use sys::clock::Clock;

use super::health::{self, Facts};
use super::keep::{self, Verdict};
use super::record::{RecordFile, manifest_in};
use super::status::{HealthStatus, TrialStatus};
use crate::boot::status::ID;
use crate::boot::{BootStatus, SlotStatus};
use crate::controller::{Action, Controller, ControllerError};
use crate::events::Events;
use crate::network::NetworkStatus;
use crate::power::{Power, Stop};
use crate::resource::{Resource, Store};
use crate::services::{ServiceStatus, is_as_wanted};
use crate::storage::Devices;
use crate::time::TimeStatus;

/// How often a trial is looked at while nothing changes.
const LOOK: Duration = Duration::from_secs(5);

/// Knows where the record and the slots are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The BOOTSTATE partition.
    pub record: RecordFile,
    /// The slot partitions, A first.
    pub slots: [PathBuf; 2],
}

impl Places {
    /// Looks for them on the disk with this GUID.
    pub fn find(devices: &Devices, guid: &str) -> Option<Self> {
        let disk = devices.find(guid).ok().flatten()?;
        let partitions = devices.partitions(&disk).ok()?;
        let device = |name: &str| {
            let found = partitions.iter().find(|partition| partition.name == name);
            found.map(|partition| partition.device.clone())
        };
        let slots = [device(Slot::A.partition())?, device(Slot::B.partition())?];
        Some(Places {
            record: RecordFile::new(device("BOOTSTATE")?),
            slots,
        })
    }
}

type Find = Box<dyn Fn(&str) -> Option<Places> + Send + Sync>;

/// Sole owner of `SlotStatus`, `HealthStatus` and `TrialStatus`. Without a disk (no loader started the machine) it only
/// tells the health.
///
/// Only a slot whose record says trial is ever committed, and only when this very system was started from it.
pub struct Slots {
    find: Find,
    places: Option<Places>,
    clock: Box<dyn Clock>,
    events: Events,
    power: Power,
    well_since: Option<Duration>,
    committed: bool,
}

impl Slots {
    /// Makes the controller. `find` looks for the places on the disk with a GUID: it may appear late.
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
            well_since: None,
            committed: false,
        }
    }

    fn publish_slots(&self, store: &Store, places: &Places, loaded: &Loaded) -> Result<(), ControllerError> {
        let boot: BootStatus = store.get(ID).unwrap_or_default();
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

    fn health(&mut self, store: &Store, wanted: &Health) -> HealthStatus {
        let boot: BootStatus = store.get(ID).unwrap_or_default();
        let network: Option<NetworkStatus> = store.get(ID);
        let facts = Facts {
            api: boot.stamps.contains_key("api"),
            network: network.map(|status| match (status.ready, status.problems) {
                (true, _) => Vec::new(),
                (false, problems) if problems.is_empty() => vec!["the network is not ready".to_owned()],
                (false, problems) => problems,
            }),
            time: store
                .get::<TimeStatus>(ID)
                .is_some_and(|status| status.synchronised),
            unwell: unwell(&store.list::<ServiceStatus>()),
        };
        let status = health::decide(&wanted.require, &facts);
        match (status.healthy, self.well_since) {
            (true, None) => self.well_since = Some(self.clock.since_boot()),
            (false, _) => self.well_since = None,
            _ => {}
        }
        status
    }

    fn give_up(&self, reason: &str) {
        if self.power.request(Stop::Reboot) {
            self.events.error(self.name(), format!("{reason}: restarting"));
        }
    }

    /// Decides on the trial of the running slot, and does what was decided.
    fn judge(
        &mut self,
        store: &Store,
        loaded: &Loaded,
        wanted: &Health,
    ) -> Result<TrialStatus, ControllerError> {
        let boot: BootStatus = store.get(ID).unwrap_or_default();
        let on_trial = boot
            .slot
            .zip(loaded.record)
            .filter(|(slot, record)| matches!(record.slot(*slot), SlotState::Trial { .. }));
        let Some((slot, record)) = on_trial else {
            return Ok(if self.committed {
                TrialStatus::Committed
            } else {
                TrialStatus::None
            });
        };
        let verdict = keep::decide(keep::Facts {
            now: self.clock.since_boot(),
            well_since: self.well_since,
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
                if let Some(places) = &self.places {
                    places.record.write(loaded, &record.commit(slot))?;
                }
                self.committed = true;
                self.events
                    .info(self.name(), format!("slot {slot} has proved well and is kept"));
                TrialStatus::Committed
            }
            Verdict::GiveUp => {
                self.give_up(&format!("slot {slot} did not get well in time"));
                TrialStatus::GivenUp
            }
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Names the services that are not as they should be.
fn unwell(services: &[(String, ServiceStatus)]) -> Vec<String> {
    let unwell = services.iter().filter(|(_, status)| !is_as_wanted(status));
    unwell.map(|(name, _)| name.clone()).collect()
}

#[async_trait]
impl Controller for Slots {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            BootStatus::KIND,
            NetworkStatus::KIND,
            ServiceStatus::KIND,
            TimeStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[SlotStatus::KIND, HealthStatus::KIND, TrialStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let config: Option<MachineConfig> = store.get(crate::config::CONFIG_ID);
        let wanted = config.map(|config| config.machine.health).unwrap_or_default();
        let health = self.health(store, &wanted);
        store.put(self.name(), ID, health)?;
        let boot: BootStatus = store.get(ID).unwrap_or_default();
        let Some(guid) = boot.disk else {
            store.put(self.name(), ID, TrialStatus::None)?;
            return Ok(Action::WaitForChange);
        };
        if self.places.is_none() {
            self.places = (self.find)(&guid);
        }
        let Some(places) = self.places.clone() else {
            let timeout: Duration = wanted.timeout.into();
            if boot.cause.as_deref() == Some("trial") && self.clock.since_boot() >= timeout {
                self.give_up("the disk of the system on trial did not appear in time");
            }
            return Err(ControllerError::msg(format!(
                "disk {guid} does not show its slots yet"
            )));
        };
        let loaded = places.record.read()?;
        let trial = self.judge(store, &loaded, &wanted)?;
        let after = if trial == TrialStatus::Committed {
            places.record.read()?
        } else {
            loaded
        };
        self.publish_slots(store, &places, &after)?;
        let waiting = matches!(trial, TrialStatus::Waiting { .. } | TrialStatus::Holding { .. });
        store.put(self.name(), ID, trial)?;
        Ok(if waiting {
            Action::After(LOOK)
        } else {
            Action::WaitForChange
        })
    }
}

#[cfg(test)]
mod tests;
