//! Images with their config on the disk, on the machines they are for.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

/// Emulated, firmware, loader, kernel and agent take a minute.
const UP: Duration = Duration::from_secs(420);
/// The Pi's firmware looks for USB, and reads the card word by word.
const PI_UP: Duration = Duration::from_secs(900);
/// Stopping services and unmounting.
const OFF: Duration = Duration::from_secs(90);

/// Boots the arm64 image under edk2.
pub fn edk2(stage: &Stage) -> Result<()> {
    let (mut machine, node) = boots(stage, "generic-arm64", Machine::ArmEdk2)?;
    node.command(&["shutdown", "--yes"]).run()?;
    machine.ends(OFF)?;
    stage.shown("switches itself off when told to");
    Ok(())
}

/// Boots the x86_64 image.
pub fn amd64(stage: &Stage) -> Result<()> {
    boots(stage, "generic-amd64", Machine::Amd64Ovmf).map(drop)
}

/// Starts the x86_64 loader under U-Boot. Behind this firmware Debian's kernel halts early, without our loader, too: what is
/// shown ends where the loader's work ends.
pub fn amd64_uboot(stage: &Stage) -> Result<()> {
    let disk = stage.disk("generic-amd64", true)?;
    let mut machine = stage.start(Machine::Amd64UBoot, &disk, "loader")?;
    let line = machine.loader_says(&["starting slot"], UP)?;
    ensure!(line.contains("slot a"), "the loader says {line:?}");
    stage.shown("starts, verifies and hands over under U-Boot");
    Ok(())
}

/// Boots the Raspberry Pi 3 image.
pub fn rpi3(stage: &Stage) -> Result<()> {
    let (machine, _) = boots(stage, "rpi3", Machine::Pi3)?;
    // The loader speaks on the header's serial line. The kernel also speaks on the other one, where nobody else can: it
    // belongs to Bluetooth.
    let console = &machine.loader;
    ensure!(
        console.text().contains("state    running"),
        "{} does not show the status page",
        console.path().display()
    );
    stage.shown("its status page is on the serial line of the header");
    Ok(())
}

fn boots(stage: &Stage, board: &str, machine: Machine) -> Result<(Emulator, Node)> {
    let disk = stage.disk(board, true)?;
    let mut emulator = stage.start(machine, &disk, "boot")?;
    let up = if machine == Machine::Pi3 { PI_UP } else { UP };
    if machine == Machine::Pi3 {
        emulator.plug_card(up)?;
    }
    let node = stage.node(&emulator)?;
    let status = node.phase("running", up)?;
    ensure!(
        status["board"] == board,
        "the node takes itself for another board: {status:#}"
    );
    ensure!(
        status["boot"]["slot"] == "a" && status["boot"]["cause"] == "preferred",
        "odd boot: {status:#}"
    );
    stage.shown(&format!(
        "runs {} on kernel {}",
        status["version"], status["kernel"]
    ));
    Ok((emulator, node))
}
