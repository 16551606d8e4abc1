//! Rolls back to the previous system on request.

use std::fs::File;

use medium::{FileMedium, Medium as _, check_slot};
use slots::{Record, SlotState};
use state::chain;

use super::preflight::RunningSystem;
use crate::trial::{InSlot, release_in};

/// The target of a rollback.
pub(super) struct Rollback {
    /// The system in the other slot.
    pub release: InSlot,
    /// The record that makes the loader start it.
    pub record: Record,
}

/// Checks that the other slot holds a system to roll back to: one that was committed, that the loader would still
/// trust, and whose every byte is right. Blocks for as long as it takes to read a slot.
pub(super) fn prepare(system: &RunningSystem) -> Result<Rollback, String> {
    let (slot, record) = (system.target(), system.record());
    let release = release_in(system.target_path(), None)
        .ok_or_else(|| format!("slot {slot} holds no system to roll back to"))?;
    let version = release.manifest.version;
    let state = record.slot(slot);
    if state != SlotState::Committed {
        return Err(format!(
            "slot {slot} with {version} was never committed ({state}): only a committed system can be rolled back to"
        ));
    }
    if version < record.floor {
        return Err(format!(
            "version {version} in slot {slot} is below {}, the lowest that may boot here",
            record.floor
        ));
    }
    let keys = &system.release.manifest.keys;
    if !keys.is_empty()
        && let Err(error) = manifest::verify(&release.json, &release.signatures, keys)
    {
        return Err(format!(
            "version {version} in slot {slot} would not be started: {}",
            chain(&error)
        ));
    }
    let open = || -> std::io::Result<FileMedium> {
        let mut medium = FileMedium::new(File::open(system.target_path())?)?;
        medium.drop_cache()?;
        Ok(medium)
    };
    let mut medium = open().map_err(|error| format!("slot {slot} cannot be read: {error}"))?;
    check_slot(&mut medium, 0, &release.manifest.slot, |_| {})
        .map_err(|error| format!("slot {slot} no longer holds {version}: {}", chain(&error)))?;
    // A system on trial that is rolled back is not tried again.
    let left = match record.slot(system.running) {
        SlotState::Trial { .. } => record.erase(system.running),
        SlotState::Empty | SlotState::Committed | SlotState::Bad(_) => record,
    };
    Ok(Rollback {
        release,
        record: left.commit(slot),
    })
}
