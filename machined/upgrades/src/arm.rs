//! Puts the other slot on trial, and cancels that.

use std::fs::File;

use medium::FileMedium;
use state::chain;

use super::history::Entry;
use super::preflight::RunningSystem;
use crate::trial::{Places, release_in};

/// Arms the slot of an upgrade that is complete. It may have been written long ago: it must still hold exactly that
/// release. Blocks.
pub(super) fn arm(system: &RunningSystem, entry: &Entry) -> Result<(), String> {
    let places = &system.places;
    let slot = entry.slot.ok_or("the upgrade has no slot")?;
    // The running system would lose its committed state.
    if slot != system.target() {
        return Err(format!("slot {slot} is running by now: run the upgrade again"));
    }
    let holds = release_in(&places.slots[slot.index()], Some(&entry.manifest));
    if holds.is_none() {
        return Err(format!(
            "slot {slot} no longer holds {}: run the upgrade again",
            entry.to
        ));
    }
    upgrade::arm(&mut bootstate(places)?, slot).map_err(|error| chain(&error))
}

/// Disarms a slot: the next start is one of the running system. Blocks.
pub(super) fn disarm(system: &RunningSystem) -> Result<(), String> {
    upgrade::disarm(&mut bootstate(&system.places)?, system.target()).map_err(|error| chain(&error))
}

fn bootstate(places: &Places) -> Result<FileMedium, String> {
    let file = File::options().read(true).write(true).open(&places.bootstate);
    let medium = file.and_then(FileMedium::new);
    medium.map_err(|error| format!("cannot open BOOTSTATE for writing: {error}"))
}
