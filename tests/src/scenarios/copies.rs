//! Two disks in one machine, of which one is a copy of the other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use layout::{Name, Table};
use serde_json::Value;
use slots::start_mark::{START_MARK_LEN, START_MARK_OFFSET};

use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

/// Emulated, firmware, loader, kernel and agent take a minute.
const UP: Duration = Duration::from_secs(300);
/// How long a node may take to see a disk that is plugged in.
const SEEN: Duration = Duration::from_secs(90);
const MIB: usize = 1024 * 1024;
/// What a node writes to on the disk that it uses.
const WRITTEN: [Name; 3] = [Name::BootState, Name::State, Name::Data];

/// Starts from either of two equal disks, under both firmwares, and plugs a copy in later.
pub fn run(stage: &Stage) -> Result<()> {
    for (machine, board, start_second) in [
        (Machine::ArmEdk2, "generic-arm64", true),
        (Machine::ArmEdk2, "generic-arm64", false),
        (Machine::ArmUBoot, "generic-arm64", true),
        (Machine::ArmUBoot, "qemu-arm64", false),
    ] {
        side_by_side(stage, machine, board, start_second)?;
    }
    plugged_in_later(stage)
}

/// Two disks written from one image: the node must work on the one that the firmware started from, and on nothing else.
fn side_by_side(stage: &Stage, machine: Machine, board: &str, start_second: bool) -> Result<()> {
    let (first, second) = pair(stage, board)?;
    let devices: &[&str] = match (machine, start_second) {
        (_, false) => &["virtio-blk-pci,drive=copy"],
        // Of U-Boot's controllers SATA comes before virtio.
        (Machine::ArmUBoot, true) => &["ahci,id=ahci", "ide-hd,drive=copy,bus=ahci.0"],
        (_, true) => &["virtio-blk-pci,drive=copy,bootindex=1"],
    };
    let further = with_copy(&second, devices);
    let which = if start_second { "second" } else { "first" };
    let name = format!("{machine:?}-{which}");
    let emulator = start(stage, machine, &first, &name, &further)?;
    let node = stage.node(&emulator)?;
    let status = disk_status(&node, UP, |_| true)?;
    node.phase("running", UP)?;
    emulator.cut_power();

    let (used, other) = if start_second {
        (&second, &first)
    } else {
        (&first, &second)
    };
    let (used_guid, other_guid) = (guid(used)?, guid(other)?);
    ensure!(
        status["guid"] == used_guid.as_str(),
        "the node says it uses {status:#}, but was started from {used_guid}"
    );
    ensure!(
        used_guid != other_guid,
        "the disk that was started has no GUID of its own"
    );
    let pristine = Disk::at(stage.folder.join("pristine.img"));
    for name in WRITTEN {
        let part = |disk: &Disk| {
            let mut bytes = disk.read(name, 0, MIB)?;
            if name == Name::BootState {
                // Where the firmware does not show its loader the other disk, Linux asks on both which was started.
                bytes[START_MARK_OFFSET as usize..][..START_MARK_LEN].fill(0);
            }
            Ok::<_, anyhow::Error>(bytes)
        };
        ensure!(
            part(other)? == part(&pristine)?,
            "{} of the disk that was not started was written to",
            name.as_str()
        );
    }
    stage.shown(&format!(
        "{machine:?}: of two equal disks the {which} one is started, used, and given GUIDs of its own; the other stays as it was"
    ));
    Ok(())
}

/// A copy of the running node's own disk appears on USB.
fn plugged_in_later(stage: &Stage) -> Result<()> {
    let (first, _) = pair(stage, "generic-arm64")?;
    let machine = Machine::ArmEdk2;
    let emulator = start(stage, machine, &first, "before-the-copy", &[])?;
    let node = stage.node(&emulator)?;
    let own = disk_status(&node, UP, |_| true)?;
    node.phase("running", UP)?;
    emulator.cut_power();

    let copy = first.copy_to(&stage.folder.join("copy.img"))?;
    let further = with_copy(&copy, &["qemu-xhci,id=usb"]);
    let emulator = start(stage, machine, &first, "with-the-copy", &further)?;
    let node = stage.node(&emulator)?;
    node.phase("running", UP)?;
    emulator.plug_disk("copy")?;
    let status = disk_status(&node, SEEN, |status| status["copies"] != serde_json::json!([]))?;
    let log = node.command(&["logs", "machined"]).run()?;
    emulator.cut_power();
    ensure!(
        status["device"] == own["device"] && status["guid"] != own["guid"],
        "before {own:#}, with the copy {status:#}"
    );
    ensure!(log.contains("is a copy of"), "the copy is not reported: {log}");
    ensure!(
        guid(&copy)? == own["guid"].as_str().unwrap_or_default(),
        "the copy was written to"
    );
    stage.shown("a copy that is plugged in later is reported, and the node's own disk gets another GUID");
    Ok(())
}

/// Makes two equal disks with a config, and keeps a third as they were.
fn pair(stage: &Stage, board: &str) -> Result<(Disk, Disk)> {
    let first = stage.disk(board, true)?;
    for name in ["copy.img", "pristine.img"] {
        first.copy_to(&stage.folder.join(name))?;
    }
    Ok((first, Disk::at(stage.folder.join("copy.img"))))
}

/// Returns the options of an emulator with these devices, and with a drive that has the content of a copy.
fn with_copy(copy: &Disk, devices: &[&str]) -> Vec<String> {
    let drive = format!("-drive if=none,id=copy,format=raw,file={}", copy.path().display());
    let devices = devices.iter().map(|device| format!("-device {device}"));
    [drive].into_iter().chain(devices).collect()
}

fn start(stage: &Stage, machine: Machine, disk: &Disk, name: &str, further: &[String]) -> Result<Emulator> {
    let further: Vec<&str> = further.iter().map(String::as_str).collect();
    stage.start_with(machine, disk, name, &further)
}

fn disk_status(node: &Node, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let answer = node.until(&["get", "DiskStatus"], limit, |answer| {
        value(answer).is_some_and(&wanted)
    })?;
    value(&answer).cloned().context("the node has no DiskStatus")
}

/// Finds the value of the one resource in an answer.
fn value(answer: &Value) -> Option<&Value> {
    answer.as_array()?.first()?.get("value")
}

fn guid(disk: &Disk) -> Result<String> {
    let path: &Path = disk.path();
    let mut file = fs::File::open(path)?;
    let table = Table::read(&mut file).with_context(|| format!("{} has no table", path.display()))?;
    Ok(table.guids.disk.to_string())
}
