//! The power is cut at random moments, in the middle of upgrades and first boots. The node comes back each time.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::pace;
use crate::scenario::Stage;
use crate::server::Server;
use crate::side_by_side::side_by_side;

/// How often the power is cut on each machine.
const CUTS: usize = 10;
const UP: Duration = Duration::from_secs(240);
/// One start, and what is waited for in it.
const LIMIT: Duration = Duration::from_secs(9 * 60);
/// The latest moment of a cut: an upgrade, the restart and the first boot of the new system fit in.
const LATEST: Duration = Duration::from_secs(50);
/// An upgrade is accepted in this time, or is not.
const ACCEPTED: Duration = Duration::from_secs(20);
/// Slow enough that many cuts fall into the fetching.
const RATE: u64 = 64 * 1024;
/// Takes the place of the clock, so that a run can be made again.
const SEED: &str = "BEDPLATE_SEED";

/// Cuts the power of a node under U-Boot and of one under edk2.
pub fn run(stage: &Stage) -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed
            .parse()
            .with_context(|| format!("{SEED}={seed} is no number"))?,
        Err(_) => SystemTime::UNIX_EPOCH.elapsed()?.as_secs(),
    };
    stage.shown(&format!("{SEED}={seed}"));
    let victims = [
        Victim::prepare(stage, "qemu-arm64", Machine::ArmUBoot)?,
        Victim::prepare(stage, "generic-arm64", Machine::ArmEdk2)?,
    ];
    let seeded: Vec<(u64, &Victim)> = (seed..).zip(&victims).collect();
    let work = |(seed, victim): &(u64, &Victim)| victim.cuts(StdRng::seed_from_u64(*seed));
    let mut ends = Vec::new();
    side_by_side(&seeded, stage.machines, work, |(_, victim), tally| {
        if let Ok(tally) = &tally {
            let board = victim.board;
            stage.shown(&format!("{board}: {CUTS} cuts, and back each time: {tally}"));
        }
        ends.push(tally.with_context(|| format!("{}; run it again with {SEED}={seed}", victim.board)));
    });
    ends.into_iter().try_for_each(|end| end.map(drop))
}

/// A machine whose power is cut.
struct Victim {
    board: &'static str,
    machine: Machine,
    folder: PathBuf,
    disk: Disk,
    client: PathBuf,
    releases: [PathBuf; 2],
    server: Server,
}

/// In what a node was when its power was cut, as it was seen to be after it.
#[derive(Default)]
struct Tally {
    old_system: usize,
    new_system: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            old_system,
            new_system,
        } = self;
        write!(
            f,
            "{old_system} times in the system that ran before, {new_system} times in the other"
        )
    }
}

impl Victim {
    fn prepare(stage: &Stage, board: &'static str, machine: Machine) -> Result<Victim> {
        let image = stage.folder.join(format!("{board}.img"));
        let releases = releases(stage, board)?;
        let [old, new] = &releases;
        let server = stage.serve(&format!("{board}-bundles"), &[old, new])?;
        server.slow_down(RATE);
        Ok(Victim {
            board,
            machine,
            folder: stage.folder.clone(),
            disk: stage.workshop.disk(board, true, &image)?,
            client: stage.workshop.cluster()?.client,
            releases,
            server,
        })
    }

    fn cuts(&self, mut random: StdRng) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut running: Option<String> = None;
        for number in 0..=CUTS {
            let folder = self.folder.join(format!("{}-{number}", self.board));
            fs::create_dir_all(&folder)?;
            let deadline = Instant::now() + pace::stretch(LIMIT);
            let emulator = Emulator::start(self.machine, &self.disk, &folder, deadline)?;
            let node = Node::with_client(emulator.api_port, self.client.clone(), deadline);
            let status = node.phase("running", UP)?;
            let version = status["version"].as_str().context("no version")?.to_owned();
            match running.replace(version.clone()) {
                Some(before) if before == version => tally.old_system += 1,
                Some(_) => tally.new_system += 1,
                None => {}
            }
            if number == CUTS {
                healthy(&node)?;
                break;
            }
            // Whatever does not run is what it is upgraded to. A node on trial refuses, which is right, too.
            let other = &self.releases[usize::from(version == "0.1.0")];
            let moment = LATEST.mul_f64(random.random::<f64>());
            let cut = Instant::now() + pace::stretch(moment);
            let url = self.server.url(other);
            node.command(&["upgrade", "--url", &url, "--force"])
                .within(moment.min(ACCEPTED))
                .end()
                .ok();
            thread::sleep(cut.saturating_duration_since(Instant::now()));
            emulator.cut_power();
        }
        Ok(tally)
    }
}

/// Makes the release that the disk has, and one that patches lead to, there and back.
fn releases(stage: &Stage, board: &str) -> Result<[PathBuf; 2]> {
    let old = stage.workshop.bundle(board)?;
    let new = stage.workshop.upgrade(board, "0.2.0", &old)?;
    Ok([old, new])
}

/// The last start is left alone: it must come to rest on a committed slot.
fn healthy(node: &Node) -> Result<()> {
    let status = node.until(&["status"], UP, |status| {
        let slot = status["boot"]["slot"].as_str().unwrap_or_default();
        status["health"]["healthy"] == true && slot_state(status, slot) == "committed"
    })?;
    ensure!(status["phase"] == "running", "odd phase: {status:#}");
    Ok(())
}

fn slot_state<'a>(status: &'a Value, slot: &str) -> &'a str {
    status["slots"][usize::from(slot == "b")]["state"]
        .as_str()
        .unwrap_or_default()
}
