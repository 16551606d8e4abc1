//! An upgrade on the Raspberry Pi: its firmware carries the loader, which counts the trial on its SD card.

use std::time::Duration;

use anyhow::Result;

use super::upgrade::runs;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

const BOARD: &str = "rpi3";
/// Its firmware looks for USB before it starts anything.
const UP: Duration = Duration::from_secs(420);
/// Fetching and writing, over an emulated USB network.
const WRITTEN: Duration = Duration::from_secs(400);

/// Brings a release, cuts the power in the place of a restart, and finds it kept.
///
/// The emulator knows no restart of this board, and a USB card that the firmware has seen is none for the kernel.
pub fn run(stage: &Stage) -> Result<()> {
    let old = stage.workshop.bundle(BOARD)?;
    let new = stage.workshop.upgrade(BOARD, "0.2.0", &old)?;
    let server = stage.serve("bundles", &[&new])?;
    let disk = stage.disk(BOARD, true)?;
    let start = |name: &str| -> Result<(Emulator, Node)> {
        let mut machine = stage.start(Machine::Pi3, &disk, name)?;
        machine.plug_card(UP)?;
        let node = stage.node(&machine)?;
        Ok((machine, node))
    };

    let (machine, node) = start("old")?;
    runs(&node, "a", "0.1.0", "committed")?;
    node.until(&["status"], UP, |status| status["health"]["healthy"] == true)?;
    let url = server.url(&new);
    node.command(&["upgrade", "--url", &url, "--no-reboot", "--wait"])
        .within(WRITTEN)
        .run()?;
    stage.shown(&format!("written from {} bytes", server.take_sent()));
    machine.cut_power();

    let (machine, node) = start("new")?;
    runs(&node, "b", "0.2.0", "committed")?;
    stage.shown("starts the new release on trial, and keeps it");
    machine.cut_power();

    let (_machine, node) = start("again")?;
    runs(&node, "b", "0.2.0", "committed")?;
    stage.shown("stays with it");
    Ok(())
}
