//! A node that was configured once is never anybody's again, whatever becomes of its STATE.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use layout::Name;

use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

const BOARD: &str = "qemu-arm64";
const UP: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);
/// What each file of an accepted config begins with. STATE has blocks of 1 KiB.
const CONFIG: &[u8] = b"# sha256 ";
const BLOCK: usize = 1024;

/// Damages STATE in two ways that heal, then in one that does not.
pub fn run(stage: &Stage) -> Result<()> {
    let disk = stage.disk(BOARD, true)?;
    let machine = stage.start(Machine::ArmUBoot, &disk, "first")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;
    switch_off(&node, machine)?;

    disk.write(Name::State, 0, &[0; 4096])?;
    let copies = copies(&disk)?;
    ensure!(copies.len() >= 2, "STATE holds {} configs, not two", copies.len());
    disk.flip_bit(Name::State, copies[0])?;
    heals(stage, &disk)?;

    for copy in self::copies(&disk)? {
        disk.flip_bit(Name::State, copy)?;
    }
    locks(stage, &disk)
}

/// Its start is blank, and one of the two files of the config has a flipped bit.
fn heals(stage: &Stage, disk: &Disk) -> Result<()> {
    let machine = stage.start(Machine::ArmUBoot, disk, "heals")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;
    let volumes = node.ask(&["get", "VolumeStatus"])?.to_string();
    ensure!(
        volumes.contains("\"repaired\":true") && !volumes.contains("\"formatted\":true"),
        "STATE was not repaired: {volumes}"
    );
    let config = node.ask(&["get", "ConfigStatus"])?.to_string();
    ensure!(
        config.contains("restored from its second copy"),
        "the flipped bit is not reported: {config}"
    );
    stage.shown("a blank start of STATE and a flipped bit of its config are repaired and reported");
    switch_off(&node, machine)
}

/// Both files have one.
fn locks(stage: &Stage, disk: &Disk) -> Result<()> {
    let mut machine = stage.start(Machine::ArmUBoot, disk, "locks")?;
    let line = machine.loader_says(&[" sha256   "], UP)?;
    let print = line
        .split_whitespace()
        .last()
        .context("a line has words")?
        .to_owned();
    let config = stage.workshop.cluster()?.machine.display().to_string();
    let node = stage.node(&machine)?;
    node.until(&["status", "--fingerprint", &print], SOON, |status| {
        status["phase"] == "locked" && status["health"]["healthy"] != true
    })?;
    let nobody = stage.anybody(&machine);
    for words in [
        &["apply", "--file", &config][..],
        &["status"],
        &["logs", "machined"],
    ] {
        nobody.refused(words)?;
    }
    stage.shown("with both files damaged it is locked, and refuses strangers");

    node.command(&["apply", "--file", &config, "--fingerprint", &print])
        .run()?;
    node.phase("running", SOON)?;
    switch_off(&node, machine)?;
    let machine = stage.start(Machine::ArmUBoot, disk, "repaired")?;
    stage.node(&machine)?.phase("running", UP)?;
    stage.shown("its owner repairs it, for good");
    Ok(())
}

fn switch_off(node: &Node, mut machine: Emulator) -> Result<()> {
    node.command(&["shutdown", "--yes"]).run()?;
    machine.ends(SOON * 2)
}

/// Finds a byte in the middle of each config that STATE holds, also of those that were replaced.
fn copies(disk: &Disk) -> Result<Vec<u64>> {
    let len = usize::try_from(disk.extent(Name::State)?.len)?;
    let state = disk.read(Name::State, 0, len)?;
    let blocks = state.chunks(BLOCK).enumerate();
    let found = blocks.filter(|(_, block)| block.starts_with(CONFIG));
    Ok(found
        .map(|(number, _)| (number * BLOCK + BLOCK / 2) as u64)
        .collect())
}
