//! Puts the other slot on trial, and cancels that.

use std::fs::File;

use medium::FileMedium;

use super::error::Error;
use super::history::Entry;
use super::preflight::RunningSystem;
use crate::trial::{Places, release_in};

/// Arms the slot of an upgrade that is complete. It may have been written long ago: it must still hold exactly that
/// release. Blocks.
pub(super) fn arm(system: &RunningSystem, entry: &Entry) -> Result<(), Error> {
    let places = &system.places;
    let slot = entry.slot.ok_or(Error::NoSlot)?;
    // The running system would lose its committed state.
    if slot != system.target() {
        return Err(Error::SlotRuns(slot));
    }
    let holds = release_in(&places.slots[slot.index()], Some(&entry.manifest));
    if holds.is_none() {
        let release = entry.to.clone();
        return Err(Error::SlotChanged { slot, release });
    }
    Ok(upgrade::arm(&mut bootstate(places)?, slot)?)
}

/// Disarms a slot: the next start is one of the running system. Blocks.
pub(super) fn disarm(system: &RunningSystem) -> Result<(), Error> {
    Ok(upgrade::disarm(&mut bootstate(&system.places)?, system.target())?)
}

fn bootstate(places: &Places) -> Result<FileMedium, Error> {
    let file = File::options().read(true).write(true).open(&places.bootstate);
    let medium = file.and_then(FileMedium::new);
    medium.map_err(|error| Error::open_for_writing(&places.bootstate, error))
}
