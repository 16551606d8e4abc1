//! Rolls back to the previous system on request.

use std::fs::File;

use medium::{FileMedium, Medium as _, check_slot};
use slots::{Record, SlotState};

use super::error::Error;
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
pub(super) fn prepare(system: &RunningSystem) -> Result<Rollback, Error> {
    let (slot, record) = (system.target(), system.record());
    let release = release_in(system.target_path(), None).ok_or(Error::NothingToRollBackTo(slot))?;
    let version = release.manifest.version;
    let state = record.slot(slot);
    if state != SlotState::Committed {
        return Err(Error::NeverCommitted { slot, version, state });
    }
    if version < record.floor {
        let floor = record.floor;
        return Err(Error::BelowFloor { slot, version, floor });
    }
    let keys = &system.release.manifest.keys;
    if !keys.is_empty()
        && let Err(source) = manifest::verify(&release.json, &release.signatures, keys)
    {
        return Err(Error::NotTrusted {
            slot,
            version,
            source,
        });
    }
    let open = || -> std::io::Result<FileMedium> {
        let mut medium = FileMedium::new(File::open(system.target_path())?)?;
        medium.drop_cache()?;
        Ok(medium)
    };
    let mut medium = open().map_err(|source| Error::ReadSlot { slot, source })?;
    check_slot(&mut medium, 0, &release.manifest.slot, |_| {}).map_err(|source| Error::SlotDamaged {
        slot,
        version,
        source,
    })?;
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
