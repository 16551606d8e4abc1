//! The plug is pulled at moments that nobody chose, in the middle of upgrades and first boots. The node comes back each time.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::upgrade::release;
use crate::disk::Disk;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;
use crate::server::Server;

/// How often the power is cut on each machine.
const CUTS: usize = 10;
const UP: Duration = Duration::from_secs(240);
/// One start, and what is waited for in it.
const LIMIT: Duration = Duration::from_secs(9 * 60);
/// The latest moment of a cut: an upgrade, the restart and the first boot of the new system fit in.
const LATEST: Duration = Duration::from_secs(50);
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
    let tallies: Vec<Result<Tally>> = thread::scope(|scope| {
        let works = (seed..).zip(&victims).map(|(seed, victim)| {
            let random = StdRng::seed_from_u64(seed);
            scope.spawn(move || victim.cuts(random))
        });
        let works: Vec<_> = works.collect();
        let ends = works
            .into_iter()
            .map(|work| work.join().expect("it does not panic"));
        ends.collect()
    });
    for (victim, tally) in victims.iter().zip(tallies) {
        let board = victim.board;
        let tally = tally.with_context(|| format!("{board}; run it again with {SEED}={seed}"))?;
        stage.shown(&format!("{board}: {CUTS} cuts, and back each time: {tally}"));
    }
    Ok(())
}

/// A machine whose power is cut.
struct Victim {
    board: &'static str,
    machine: Machine,
    folder: PathBuf,
    disk: Disk,
    client: PathBuf,
    releases: [PathBuf; 2],
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
        Ok(Victim {
            board,
            machine,
            folder: stage.folder.clone(),
            disk: stage.workshop.disk(board, true, &image)?,
            client: stage.workshop.cluster()?.client,
            releases: releases(stage, board)?,
        })
    }

    fn cuts(&self, mut random: StdRng) -> Result<Tally> {
        let releases = &self.releases;
        let server = Server::start(releases[0].parent().context("a bundle lies in a folder")?)?;
        server.slow_down(RATE);
        let mut tally = Tally::default();
        let mut running: Option<String> = None;
        for number in 0..=CUTS {
            let folder = self.folder.join(format!("{}-{number}", self.board));
            fs::create_dir_all(&folder)?;
            let deadline = Instant::now() + LIMIT;
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
            let other = &releases[usize::from(version == "0.1.0")];
            let cut = Instant::now() + LATEST.mul_f64(random.random::<f64>());
            let url = server.url(other);
            let wait = Duration::from_secs(20);
            node.command(&["upgrade", "--url", &url, "--force"])
                .within(wait.min(cut.saturating_duration_since(Instant::now())))
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
    let new = release(stage, board, "0.2.0", &old)?;
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
