//! What the loader refuses, and what it does then.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use layout::Name;
use slots::{Slot, SlotState, Version};

use crate::disk::Disk;
use crate::machine::Machine;
use crate::scenario::Stage;
use crate::tools::Tool;

const BOARD: &str = "qemu-arm64";
/// Firmware, and the hashes of kernel and initramfs, emulated.
const LOADED: Duration = Duration::from_secs(120);
const UP: Duration = Duration::from_secs(240);

/// A way to damage slot A, and what the loader must say of it.
struct Case {
    name: &'static str,
    says: &'static str,
    damage: fn(&Stage, &Disk) -> Result<()>,
}

const CASES: &[Case] = &[
    Case {
        name: "kernel",
        says: "kernel",
        damage: |_, disk| flip_in_part(disk, true),
    },
    Case {
        name: "initramfs",
        says: "initramfs",
        damage: |_, disk| flip_in_part(disk, false),
    },
    Case {
        name: "manifest",
        says: "signature",
        damage: |_, disk| flip_in_manifest(disk),
    },
    Case {
        name: "signature",
        says: "signature",
        damage: |_, disk| flip_in_signature(disk),
    },
    Case {
        name: "stranger",
        says: "key",
        damage: sign_as_stranger,
    },
    Case {
        name: "empty",
        says: "manifest",
        damage: |_, disk| wipe_manifest(disk, Slot::A),
    },
];

/// Damages slot A in every way, each on a disk whose slot B is good.
pub fn run(stage: &Stage) -> Result<()> {
    let good = stage.disk(BOARD, true)?;
    // A second system, as an upgrade would have left it.
    good.copy_partition(Name::SlotA, Name::SlotB)?;
    good.set_record(&good.record()?.with_slot(Slot::B, SlotState::Committed))?;

    for case in CASES {
        let disk = good.copy_to(&stage.folder.join("damaged.img"))?;
        (case.damage)(stage, &disk)?;
        let mut machine = stage.start(Machine::ArmUBoot, &disk, case.name)?;
        let refusal = machine.loader_says(&["slot a refused"], LOADED)?;
        ensure!(
            refusal.contains(case.says),
            "{}: the loader says {refusal:?}",
            case.name
        );
        let start = machine.loader_says(&["starting slot"], LOADED)?;
        ensure!(
            start.contains("slot b"),
            "{}: the loader goes on with {start:?}",
            case.name
        );
        stage.shown(&format!("{}: {refusal}", case.name));
        if case.name == "kernel" {
            survives(stage, machine, &disk)?;
        }
    }
    both_refused(stage, &good)
}

/// The node that came up from the other slot says why, and the bad slot is remembered.
fn survives(stage: &Stage, machine: crate::emulator::Emulator, disk: &Disk) -> Result<()> {
    let status = stage.node(&machine)?.phase("running", UP)?;
    let boot = &status["boot"];
    ensure!(
        boot["slot"] == "b" && boot["cause"] == "fallback",
        "odd boot: {boot:#}"
    );
    ensure!(
        boot["failed"][0]["slot"] == "a",
        "the node does not say which slot failed: {boot:#}"
    );
    machine.cut_power();
    let state = disk.record()?.slot(Slot::A);
    ensure!(
        matches!(state, SlotState::Bad(_)),
        "slot a is {state:?} in the record"
    );
    stage.shown("the node runs from slot b, and says why");
    Ok(())
}

fn both_refused(stage: &Stage, disk: &Disk) -> Result<()> {
    wipe_manifest(disk, Slot::A)?;
    wipe_manifest(disk, Slot::B)?;
    let mut machine = stage.start(Machine::ArmUBoot, disk, "both")?;
    let first = machine.loader_says(&["slot a refused"], LOADED)?;
    let second = machine.loader_says(&["slot b refused"], LOADED)?;
    let last = machine.loader_says(&["no slot can be started"], LOADED)?;
    stage.shown(&format!("both: {first} / {second} / {last}"));
    Ok(())
}

fn flip_in_part(disk: &Disk, kernel: bool) -> Result<()> {
    let manifest = disk.manifest(Slot::A)?;
    let part = if kernel {
        manifest.kernel()
    } else {
        manifest.initramfs()
    };
    disk.flip_bit(Name::SlotA, part.offset + part.size / 2)
}

fn flip_in_manifest(disk: &Disk) -> Result<()> {
    let (json, _) = disk.trailer(Slot::A)?;
    // In a digit of the version: the text stays well-formed, and only the signature shows it.
    let version = disk.manifest(Slot::A)?.version;
    ensure!(
        version != Version { major: 9, ..version },
        "the version cannot be changed"
    );
    let at =
        find(&json, b"\"version\":\"").context("the manifest names no version")? + b"\"version\":\"".len();
    let mut changed = json.clone();
    changed[at] ^= 1;
    let (_, signatures) = disk.trailer(Slot::A)?;
    disk.set_trailer(Slot::A, &changed, &signatures)
}

fn flip_in_signature(disk: &Disk) -> Result<()> {
    let (json, signatures) = disk.trailer(Slot::A)?;
    let text = String::from_utf8(signatures)?;
    let line = text.lines().nth(1).context("the signature has no second line")?;
    // A letter near the line's end belongs to the signature itself, not to the key's number before it.
    let at = text.find(line).context("the line is in the text")? + line.len() - 8;
    let other = if text.as_bytes()[at] == b'A' { b'B' } else { b'A' };
    let mut changed = text.into_bytes();
    changed[at] = other;
    disk.set_trailer(Slot::A, &json, &changed)
}

fn sign_as_stranger(stage: &Stage, disk: &Disk) -> Result<()> {
    let (json, _) = disk.trailer(Slot::A)?;
    let file = stage.folder.join("stranger.json");
    std::fs::write(&file, &json)?;
    let key = stage.workshop.key("stranger")?;
    Tool::new("minisign")
        .args(["-S", "-W", "-m"])
        .arg(&file)
        .arg("-s")
        .arg(key.secret)
        .run()?;
    let signatures = std::fs::read(stage.folder.join("stranger.json.minisig"))?;
    disk.set_trailer(Slot::A, &json, &signatures)
}

fn wipe_manifest(disk: &Disk, slot: Slot) -> Result<()> {
    disk.write(
        crate::disk::partition(slot),
        disk.trailer_offset(slot)?,
        &[0; manifest::trailer::AREA],
    )
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
