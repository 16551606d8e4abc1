//! A system on trial: how often it may try, and what makes it stay.

use std::time::Duration;

use anyhow::{Result, ensure};
use layout::Name;
use slots::{Slot, SlotState};

use crate::disk::Disk;
use crate::machine::Machine;
use crate::scenario::Stage;

const BOARD: &str = "qemu-arm64";
const LOADED: Duration = Duration::from_secs(120);
const UP: Duration = Duration::from_secs(240);

/// Puts slot B on trial: once with the power cut each time, once left alone.
pub fn run(stage: &Stage) -> Result<()> {
    let disk = stage.disk(BOARD, true)?;
    // What an upgrade would have written.
    disk.copy_partition(Name::SlotA, Name::SlotB)?;
    disk.set_record(&disk.record()?.arm_trial(Slot::B, 2))?;

    for (number, expected) in ["slot b", "slot b", "slot a"].into_iter().enumerate() {
        starts(stage, &disk, &format!("cut-{number}"), expected)?;
    }
    let state = disk.record()?.slot(Slot::B);
    ensure!(
        matches!(state, SlotState::Bad(_)),
        "slot b is {state:?} after its last try"
    );
    stage.shown("two tries cut short, and the committed slot boots again");

    disk.set_record(&disk.record()?.arm_trial(Slot::B, 2))?;
    let machine = stage.start(Machine::ArmUBoot, &disk, "trial")?;
    let node = stage.node(&machine)?;
    let status = node.phase("running", UP)?;
    ensure!(
        status["boot"]["slot"] == "b" && status["boot"]["cause"] == "trial",
        "odd boot: {status:#}"
    );
    node.until(&["status"], UP, |status| {
        status["slots"][1]["state"] == "committed"
    })?;
    machine.cut_power();
    stage.shown("a node that comes up healthy commits its slot");

    for number in 0..4 {
        starts(stage, &disk, &format!("committed-{number}"), "slot b")?;
    }
    ensure!(
        disk.record()?.slot(Slot::B) == SlotState::Committed,
        "the power cuts were counted"
    );
    stage.shown("a committed slot stays, however often the power is cut");
    Ok(())
}

/// Switches on, sees which slot is started, and cuts the power.
fn starts(stage: &Stage, disk: &Disk, name: &str, slot: &str) -> Result<()> {
    let mut machine = stage.start(Machine::ArmUBoot, disk, name)?;
    let line = machine.loader_says(&["starting slot"], LOADED)?;
    machine.cut_power();
    ensure!(
        line.contains(slot),
        "{name}: {slot} was to start, but the loader says {line:?}"
    );
    Ok(())
}
