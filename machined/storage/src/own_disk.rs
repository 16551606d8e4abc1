//! Keeps the GUIDs of the system's disk its own, and reports copies of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use layout::{Guids, Table, TableError};
use node::disk::{Devices, Disk};
use node::events::Events;
use state::kinds::{BootStatus, DiskStatus, NODE, Volume, VolumeState, VolumeStatus};
use state::{Action, Controller, ControllerError, Resource, Store};
use uuid::Uuid;

use super::disk_identity::{Decision, Reason, Remembered, decide};

const NAME: &str = "disk";
/// The file in STATE.
const FILE: &str = "disk.json";
/// A file that is longer was not written by us.
const LONGEST: u64 = 16 * 1024;
/// How often is looked for copies: a disk may be plugged in at any time.
const EVERY: Duration = Duration::from_secs(30);

/// Why a disk did not get GUIDs of its own.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot open {disk}")]
    Open {
        disk: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot give {disk} GUIDs of its own")]
    Table {
        disk: String,
        #[source]
        source: TableError,
    },
    #[error("cannot write {}", path.display())]
    Remember {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Gives the disk GUIDs of its own at its first start, when its content turns up on other hardware, and when another disk
/// has the same. Sole owner of [`DiskStatus`].
pub struct OwnDisk {
    devices: Devices,
    state: PathBuf,
    events: Events,
}

impl OwnDisk {
    /// Makes the controller; `state` is where STATE is mounted.
    pub fn new(devices: Devices, state: &Path, events: Events) -> Self {
        OwnDisk {
            devices,
            state: state.to_owned(),
            events,
        }
    }

    /// Makes the disk's GUID its own, and returns what STATE remembers of the disk then.
    fn settle(&self, disk: &Disk, guid: &str) -> Result<Remembered, ControllerError> {
        let path = self.state.join(FILE);
        let before = read(&path);
        let serial = self.devices.serial(disk);
        let copies: Vec<String> = self.others(disk, guid)?;
        let (guid, reason) = match decide(before.as_ref(), guid, serial.as_deref(), &copies) {
            Decision::Keep => return Ok(before.expect("what is kept is remembered")),
            Decision::Remember => (guid.to_owned(), None),
            Decision::Rename(reason) => (rename(&disk.device, Uuid::new_v4())?, Some(reason)),
        };
        let next = Remembered::next(before.as_ref(), &guid, serial, reason.as_ref());
        let text = serde_json::to_string(&next).map_err(|error| ControllerError::msg(error.to_string()))?;
        sys::durable::write(&path, text.as_bytes(), 0o644)
            .map_err(|source| Error::Remember { path, source })?;
        if let Some(reason) = reason {
            self.report(disk, &guid, &reason);
        }
        Ok(next)
    }

    fn report(&self, disk: &Disk, guid: &str, reason: &Reason) {
        let name = &disk.name;
        match reason {
            Reason::FirstStart => {
                let text = format!("{name} is started for the first time: its GUID is now {guid}");
                self.events.info(NAME, text);
            }
            Reason::Moved { from } => self.events.warning(
                NAME,
                format!(
                    "the content of {name} was on hardware {from} before: its GUID is now {guid}; if that disk is still in \
                     use, reset one of the two nodes, since they have the same identity"
                ),
            ),
            Reason::Copies { names } => self.events.error(
                NAME,
                format!("{} is a copy of {name}, whose GUID is now {guid}", names.join(" and ")),
            ),
        }
    }

    /// Lists other disks with this GUID.
    fn others(&self, own: &Disk, guid: &str) -> Result<Vec<String>, ControllerError> {
        let others = self.devices.with_guid(guid)?.into_iter();
        Ok(others
            .map(|disk| disk.name)
            .filter(|name| *name != own.name)
            .collect())
    }
}

#[async_trait]
impl Controller for OwnDisk {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[VolumeStatus::KIND]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[DiskStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let boot: BootStatus = store.get(NODE).unwrap_or_default();
        let state: Option<VolumeStatus> = store.get(Volume::State.partition());
        let mounted = state.is_some_and(|state| matches!(state.state, VolumeState::Ready { .. }));
        let (Some(guid), true) = (boot.disk, mounted) else {
            return Ok(Action::WaitForChange);
        };
        let Some(disk) = self.devices.find(&guid)? else {
            return Err(ControllerError::msg(format!("disk {guid} is gone")));
        };
        let Some(guid) = self.devices.guid(&disk) else {
            return Err(ControllerError::msg(format!(
                "{} has no partition table",
                disk.name
            )));
        };
        let own = self.settle(&disk, &guid)?;
        let mut copies = Vec::new();
        for guid in own.former.iter().chain([&own.guid]) {
            copies.extend(self.others(&disk, guid)?);
        }
        copies.sort();
        let status = DiskStatus {
            device: disk.name.clone(),
            guid: own.guid,
            serial: own.serial,
            copies,
        };
        store.put(NAME, NODE, status)?;
        Ok(Action::After(EVERY))
    }
}

/// Writes new GUIDs, made from this seed, and returns the disk's.
fn rename(device: &Path, seed: Uuid) -> Result<String, Error> {
    let disk = || device.display().to_string();
    let opened = File::options().read(true).write(true).open(device);
    let mut file = opened.map_err(|source| Error::Open { disk: disk(), source })?;
    let guids = Guids::from_seed(seed.as_bytes());
    Table::rename(&mut file, guids, |file| file.sync_all())
        .map_err(|source| Error::Table { disk: disk(), source })?;
    Ok(guids.disk.to_string())
}

/// Reads what STATE remembers. What cannot be read is as good as nothing: the disk then gets new GUIDs.
fn read(path: &Path) -> Option<Remembered> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests;
