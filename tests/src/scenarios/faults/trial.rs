//! One row: switches the machine on, waits for what must come of it, and checks what the node reports.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use slots::{Slot, SlotState};

use super::ROW_LIMIT;
use super::bench::Bench;
use super::rows::{Row, Trouble};
use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::pace;

/// The watchdog that QEMU has on PCI; it resets the machine.
const WATCHDOG: &str = "-device i6300esb -action watchdog=reset";
/// An emulator's socket is there a moment after its start.
const TALKS: Duration = Duration::from_secs(10);
/// What is known of a failed trial is looked at when the old system runs.
const SOON: Duration = Duration::from_secs(30);
/// Earlier than any image of ours was made, in nanoseconds since 1970.
const PAST: i64 = 1_700_000_000_000_000_000;
/// Later than any image of ours is in use: the year 2090.
const FUTURE: i64 = 3_786_912_000_000_000_000;

/// What came of a fault.
pub struct Outcome {
    /// How often slot B was started.
    pub starts: usize,
    /// The slot that runs in the end.
    pub slot: Slot,
    /// Time from switching on to that slot's API.
    pub after: Duration,
    /// What the node says of it.
    pub reason: String,
}

/// Lets one fault happen.
pub fn run(bench: &Bench, row: &Row) -> Result<Outcome> {
    let disk = bench.disk(row)?;
    let outcome = watch(bench, row, &disk)?;
    let state = disk.record()?.slot(Slot::B);
    match row.runs {
        Slot::A => ensure!(
            matches!(state, SlotState::Bad(_)),
            "the record says of slot b: {state}"
        ),
        Slot::B => ensure!(
            state == SlotState::Committed,
            "the record says of slot b: {state}"
        ),
    }
    std::fs::remove_file(disk.path())?;
    Ok(outcome)
}

fn watch(bench: &Bench, row: &Row, disk: &Disk) -> Result<Outcome> {
    let begun = Instant::now();
    let deadline = begun + pace::stretch(ROW_LIMIT);
    let switch_on = |number: usize| {
        let folder = bench.folder(row).join(number.to_string());
        std::fs::create_dir_all(&folder)?;
        let mut further = vec!["-smp 1", WATCHDOG];
        let clock = match row.machine {
            Trouble::Clock(base) => Some(format!("-rtc base={base}")),
            _ => None,
        };
        further.extend(clock.as_deref());
        Emulator::start_with(Machine::ArmUBoot, disk, &folder, deadline, &further)
    };
    let cuts = match row.machine {
        Trouble::PowerCuts(cuts) | Trouble::PowerCutsWhenKept(cuts) => cuts,
        _ => 0,
    };
    let mut machine = switch_on(0)?;
    if row.machine == Trouble::NoCable {
        pull_cable(&machine)?;
    }
    let mut starts = 0;
    loop {
        let line = machine.loader_says(&["starting slot"], ROW_LIMIT)?;
        let started = if line.contains("slot b") { Slot::B } else { Slot::A };
        starts += usize::from(started == Slot::B);
        if starts <= cuts && started == Slot::B {
            machine.cut_power();
            machine = switch_on(starts)?;
            continue;
        }
        if started == Slot::B && row.machine == Trouble::StuckDisk {
            machine.set_disk_stuck(true)?;
            machine.loader_says(&["U-Boot "], ROW_LIMIT)?;
            machine.set_disk_stuck(false)?;
        }
        ensure!(starts <= row.starts, "slot b is started a {starts}. time");
        if started == row.runs && starts == row.starts {
            break;
        }
        ensure!(
            started == Slot::B,
            "slot a is started after {starts} starts of slot b"
        );
    }
    if row.machine == Trouble::NoCable {
        machine.set_cable(true)?;
    }
    let node = Node::with_client(machine.api_port, bench.client.clone(), deadline);
    let runs = |status: &Value| status["phase"] == "running" && status["boot"]["slot"] == row.runs.name();
    node.until(&["status"], ROW_LIMIT, runs)?;
    let after = begun.elapsed();
    let reason = match row.runs {
        Slot::A => why_not(row, &node)?,
        Slot::B => kept(bench, row, &node)?,
    };
    Ok(Outcome {
        starts,
        slot: row.runs,
        after,
        reason,
    })
}

fn pull_cable(machine: &Emulator) -> Result<()> {
    let until = Instant::now() + pace::stretch(TALKS);
    loop {
        match machine.set_cable(false) {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
}

/// Asks the old system why the new one does not run.
fn why_not(row: &Row, node: &Node) -> Result<String> {
    let status = node.ask(&["status"])?;
    let slot = &status["slots"][1];
    ensure!(slot["state"] == "bad", "slot b is not bad: {status:#}");
    let mark = slot["reason"].as_str().context("slot b is bad for no reason")?;
    let reported = |history: &Value| {
        let text = format!("{mark}\n{}", history["records"][0]);
        row.reports.iter().all(|words| text.contains(words))
    };
    // It is written down soon after the API answers.
    let history = node
        .until(&["upgrade", "history", "--limit", "1", "--log"], SOON, reported)
        .with_context(|| format!("the node does not say {:?}, but: {mark}", row.reports))?;
    let cause = history["records"][0]["cause"].as_str().unwrap_or_default();
    Ok(if cause.is_empty() { mark } else { cause }.to_owned())
}

/// Waits until the new system is kept, and asks it how it is.
fn kept(bench: &Bench, row: &Row, node: &Node) -> Result<String> {
    let status = node.until(&["status"], ROW_LIMIT, |status| {
        status["slots"][1]["state"] == "committed"
    })?;
    if let Trouble::Clock(_) = row.machine {
        // That it could be asked shows that its certificate is valid here.
        let time = node.ask(&["time"])?;
        let now = time["unixNanos"].as_i64();
        ensure!(
            now.is_some_and(|now| (PAST..FUTURE).contains(&now)),
            "the node's clock is wrong: {time:#}"
        );
    }
    if row.machine == Trouble::FullData {
        full(bench, node)?;
    }
    if row.machine == Trouble::DamagedStore {
        node.until(&["get", "ContainerStoreStatus", "node"], SOON, |status| {
            status.to_string().contains("neither copy of its head is valid")
        })?;
        node.until(&["status"], SOON, |status| {
            let reasons = status["health"]["reasons"].to_string();
            status["health"]["state"] == "degraded" && reasons.contains("container store was damaged")
        })?;
    }
    let cause = status["boot"]["cause"].as_str().unwrap_or_default();
    Ok(format!("kept, started as {cause}"))
}

/// A node whose DATA is full says so, and takes an upgrade all the same.
fn full(bench: &Bench, node: &Node) -> Result<()> {
    node.until(&["get", "RoomStatus", "DATA"], SOON, |room| {
        room.to_string().contains("\"full\":true")
    })?;
    let log = node.command(&["logs", "machined"]).run()?;
    ensure!(
        log.contains("DATA is full"),
        "it is not reported that DATA is full: {log}"
    );
    let newer = bench.newer.display().to_string();
    let upgrade = node.command(&["upgrade", "--mode", "staged", "--bundle", &newer]);
    upgrade.within(ROW_LIMIT).run()?;
    let armed = |status: &Value| status["slots"][0]["state"] == "trial";
    node.until(&["status"], SOON, armed).map(drop)
}
