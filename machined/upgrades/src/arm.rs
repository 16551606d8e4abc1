//! Putting the other slot on trial, and taking that back.

use std::fs::File;

use medium::FileMedium;
use state::chain;

use super::history::Entry;
use super::preflight::RunningSystem;
use crate::trial::{Places, release_in};

/// Arms the slot of an upgrade of which all was written. It may have been written long ago: it must still hold the very
/// release. Blocks.
pub(super) fn arm(system: &RunningSystem, entry: &Entry) -> Result<(), String> {
    let places = &system.places;
    let slot = entry.slot.ok_or("the upgrade names no slot")?;
    // What runs would lose that it was kept.
    if slot != system.target() {
        return Err(format!("slot {slot} runs by now: run the upgrade again"));
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

/// Takes an armed slot back: the next start is one of the running system. Blocks.
pub(super) fn disarm(system: &RunningSystem) -> Result<(), String> {
    upgrade::disarm(&mut bootstate(&system.places)?, system.target()).map_err(|error| chain(&error))
}

fn bootstate(places: &Places) -> Result<FileMedium, String> {
    let file = File::options().read(true).write(true).open(&places.bootstate);
    let medium = file.and_then(FileMedium::new);
    medium.map_err(|error| format!("cannot open BOOTSTATE for writing: {error}"))
}
