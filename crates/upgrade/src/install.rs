//! A whole upgrade, in the one order that is safe against power cuts.
//!
//! 1. The slot record says that the target is empty, and prefers the running slot.
//! 2. The target's manifest is wiped: from here on no loader starts the target, whatever the record says.
//! 3. Data and hash tree are written, flushed, and read back past the cache.
//! 4. The manifest is written, flushed, and read back.
//! 5. The slot record puts the target on trial.
//!
//! Each step is on the medium before the next begins. Steps that are already done are skipped.

use manifest::trailer;
use medium::Medium;
use slots::{Loaded, Record, Slot, SlotState, TRIAL_TRIES};

use crate::control::{Counter, Progress};
use crate::survey::{Prepared, Slots, prepare_counted, read_trailer};
use crate::write::write;
use crate::{Control, Error, Plan, Release, SlotRecord, Source};

/// The parts of a node's disk that an upgrade touches.
pub struct Disk<'a> {
    /// The BOOTSTATE partition.
    pub bootstate: &'a mut dyn Medium,
    /// Both slots.
    pub slots: Slots<'a>,
}

/// What an upgrade did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The plan.
    pub plan: Plan,
    /// The final counters.
    pub progress: Progress,
}

/// Brings a release into the target slot and puts it on trial.
///
/// The caller checks [`refusals`](crate::refusals) first. After an error, and after a power cut at any time, the
/// running slot boots, and calling this again continues from what is there.
pub fn install<S: Source>(
    release: &mut Release<S>,
    disk: &mut Disk<'_>,
    control: &mut dyn Control,
) -> Result<Report, Error> {
    let counter = &mut Counter::new(control);
    let prepared = prepare_counted(release, &mut disk.slots, counter)?;
    let report = carry_out_counted(release, disk, prepared, counter)?;
    arm(disk.bootstate, disk.slots.slot)?;
    Ok(report)
}

/// Carries out what [`prepare`](crate::prepare) planned: steps 1 to 4. The target is then complete and verified, and no
/// loader starts it before it is [armed](arm).
pub fn carry_out<S: Source>(
    release: &mut Release<S>,
    disk: &mut Disk<'_>,
    prepared: Prepared,
    control: &mut dyn Control,
) -> Result<Report, Error> {
    let spent = prepared.plan.cost.overhead + prepared.plan.cost.tree;
    let counter = &mut Counter::new(control);
    counter.fetched(spent)?;
    carry_out_counted(release, disk, prepared, counter)
}

fn carry_out_counted<S: Source>(
    release: &mut Release<S>,
    disk: &mut Disk<'_>,
    mut prepared: Prepared,
    counter: &mut Counter<'_>,
) -> Result<Report, Error> {
    let slot = disk.slots.slot;
    let complete = prepared.trailer && prepared.plan.extents.is_empty();
    if !complete {
        change(disk.bootstate, |loaded| retired(loaded, slot))?;
        wipe(disk.slots.target).map_err(|error| Error::Slot("write", slot, error))?;
    }
    write(release, &mut disk.slots, &mut prepared, counter)?;
    seal(release, disk.slots.target, &prepared).map_err(|error| Error::Slot("write", slot, error))?;
    if !sealed(release, disk.slots.target)? {
        return Err(Error::Trailer(slot));
    }
    Ok(Report {
        plan: prepared.plan,
        progress: counter.progress(),
    })
}

/// Puts the target slot on trial: step 5, for a slot that was written before.
pub fn arm(bootstate: &mut dyn Medium, slot: Slot) -> Result<(), Error> {
    change(bootstate, |loaded| {
        retired(loaded, slot).arm_trial(slot, TRIAL_TRIES)
    })
}

/// Reverts step 5: the target counts as empty again, and the running slot is preferred.
pub fn disarm(bootstate: &mut dyn Medium, slot: Slot) -> Result<(), Error> {
    change(bootstate, |loaded| retired(loaded, slot))
}

/// Changes the slot record. Starts from the record on the medium, not from what a failed write left in the cache.
fn change(bootstate: &mut dyn Medium, to: impl FnOnce(&Loaded) -> Record) -> Result<(), Error> {
    let fresh = bootstate.drop_cache();
    let mut record = SlotRecord::new(bootstate);
    let loaded = fresh.and_then(|()| record.read());
    let loaded = loaded.map_err(|error| Error::Record("read", error))?;
    let wanted = to(&loaded);
    let written = record.write(&loaded, &wanted);
    written.map(drop).map_err(|error| Error::Record("write", error))
}

/// Returns the record while the target is written: the target is empty, and the running slot is preferred.
fn retired(loaded: &Loaded, target: Slot) -> Record {
    let running = target.other();
    // Without a record the loader relied on what the slots prove. The running one proved itself by running.
    let known = loaded.record.unwrap_or_else(|| Record::initial().commit(running));
    let mut record = known.erase(target);
    record.preferred = running;
    match record.slot(running) {
        // It was abandoned once, but it is the only slot to fall back to.
        SlotState::Empty | SlotState::Bad(_) => record.commit(running),
        SlotState::Trial { .. } | SlotState::Committed => record,
    }
}

/// Wipes the target's manifest, unless it is zero already.
fn wipe(target: &mut dyn Medium) -> std::io::Result<()> {
    if read_trailer(target).is_ok_and(|area| area.iter().all(|byte| *byte == 0)) {
        return Ok(());
    }
    target.write_at(target.len() - trailer::AREA as u64, &[0; trailer::AREA])?;
    target.sync()
}

/// Writes the target's manifest, unless it is there already.
fn seal<S: Source>(
    release: &Release<S>,
    target: &mut dyn Medium,
    prepared: &Prepared,
) -> std::io::Result<()> {
    if prepared.trailer && prepared.plan.extents.is_empty() {
        return Ok(());
    }
    let (json, signatures) = release.texts();
    let area = trailer::encode(json, signatures).map_err(std::io::Error::other)?;
    target.write_at(target.len() - trailer::AREA as u64, &area)?;
    target.sync()
}

/// Reads the target's manifest back past the cache.
fn sealed<S: Source>(release: &Release<S>, target: &mut dyn Medium) -> Result<bool, Error> {
    let (json, signatures) = release.texts();
    let wanted = trailer::encode(json, signatures)?;
    let read = target.drop_cache().and_then(|()| read_trailer(target));
    Ok(read.is_ok_and(|area| area == wanted))
}
