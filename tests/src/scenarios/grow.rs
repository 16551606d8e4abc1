//! An image on a medium larger than it was made for.

use std::fs::{self, OpenOptions};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use layout::Name;

use crate::disk::Disk;
use crate::machine::Machine;
use crate::scenario::Stage;
use crate::tools::Tool;

const BOARD: &str = "qemu-arm64";
const MIB: u64 = 1 << 20;
/// The medium.
const SIZE: u64 = 4096 * MIB;
const UP: Duration = Duration::from_secs(240);

/// Writes the raw image to a larger medium, as any flasher would, and boots.
pub fn run(stage: &Stage) -> Result<()> {
    let image = stage.workshop.build_disk_image(BOARD, &stage.folder)?;
    let small = Disk::at(image.clone()).extent(Name::Data)?;
    let disk = Disk::at(image).copy_to(&stage.folder.join("disk.img"))?;
    let before = fs::metadata(disk.path())?.len();
    ensure!(before < SIZE, "the image has {before} bytes already");
    OpenOptions::new().write(true).open(disk.path())?.set_len(SIZE)?;

    let machine = stage.start(Machine::ArmUBoot, &disk, "boot")?;
    let nobody = stage.anybody(&machine);
    nobody.phase("maintenance", UP)?;
    let config = stage.workshop.cluster()?.machine.display().to_string();
    nobody.command(&["apply", "--file", &config]).run()?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;
    let mounts = node.ask(&["mounts"])?;
    let mounts = mounts["mounts"].as_array().context("the node has no mounts")?;
    let data = mounts.iter().find(|mount| mount["target"] == "/var");
    let size = data.and_then(|mount| mount["sizeBytes"].as_u64());
    machine.cut_power();

    let large = disk.extent(Name::Data)?;
    let end = large.start + large.len;
    ensure!(
        large.start == small.start && end > SIZE - 2 * MIB && end < SIZE,
        "DATA ends at byte {end} of {SIZE}"
    );
    // What the file system keeps for itself is a few percent.
    ensure!(
        size.is_some_and(|size| size > large.len / 10 * 9 && size < large.len),
        "/var has {size:?} bytes, on a partition of {}",
        large.len
    );
    let said = Tool::new("sgdisk").arg("-v").arg(disk.path()).run()?;
    ensure!(said.contains("No problems found"), "sgdisk says: {said}");
    let (small, large) = (small.len / MIB, large.len / MIB);
    stage.shown(&format!(
        "DATA grew from {small} to {large} MiB, and sgdisk finds no problems"
    ));
    Ok(())
}
