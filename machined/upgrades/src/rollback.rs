//! Going back to the system before, when somebody asks for it.

use std::fs::File;

use medium::{FileMedium, Medium as _, check_slot};
use slots::{Record, SlotState};
use state::chain;

use super::preflight::RunningSystem;
use crate::trial::{InSlot, release_in};

/// What is gone back to.
pub(super) struct Rollback {
    /// The system in the other slot.
    pub release: InSlot,
    /// The record that makes the loader start it.
    pub record: Record,
}

/// Looks whether the other slot holds a system to go back to: one that was kept before, that the loader would still
/// trust, and of which every byte is right. Blocks, as long as it takes to read a slot.
pub(super) fn prepare(system: &RunningSystem) -> Result<Rollback, String> {
    let (slot, record) = (system.target(), system.record());
    let release = release_in(system.target_path(), None)
        .ok_or_else(|| format!("slot {slot} holds no system to go back to"))?;
    let version = release.manifest.version;
    let state = record.slot(slot);
    if state != SlotState::Committed {
        return Err(format!(
            "slot {slot} with {version} was never kept ({state}): only a system that was is gone back to"
        ));
    }
    if version < record.floor {
        return Err(format!(
            "version {version} in slot {slot} is below {}, the lowest that may still boot here",
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
    // A system on trial that somebody does not want is not tried again.
    let left = match record.slot(system.running) {
        SlotState::Trial { .. } => record.erase(system.running),
        SlotState::Empty | SlotState::Committed | SlotState::Bad(_) => record,
    };
    Ok(Rollback {
        release,
        record: left.commit(slot),
    })
}
