//! What a running node takes: memory at rest and while it is upgraded, and the time that it needs to start.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Row, megabytes, row, upgrades};
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::server::Server;
use crate::workshop::Workshop;

const UP: Duration = Duration::from_secs(420);
const UPGRADED: Duration = Duration::from_secs(900);
/// After the last service has started, for memory to come to rest.
const REST: Duration = Duration::from_secs(30);
/// Between two readings of the memory.
const LOOK: Duration = Duration::from_millis(300);

/// Boots the older release of the monthly change, and upgrades it.
pub fn measure(workshop: &Workshop) -> Result<Vec<Row>> {
    let cluster = workshop.cluster_named("bench")?;
    let folder = workshop.folder().join("running");
    let [old, new] = upgrades::releases(workshop, "monthly", &folder)?;
    let disk = workshop.flash(&old, &folder.join("disk.img"), Some(&cluster.machine))?;
    let deadline = Instant::now() + UP + REST + UPGRADED;
    let emulator = Emulator::start(Machine::ArmUBoot, &disk, &folder, deadline)?;
    let node = Node::with_client(emulator.api_port, cluster.client, deadline);
    node.phase("running", UP)?;
    thread::sleep(REST);
    let status = node.phase("running", UP)?;

    let mut rows = vec![row(
        "machined's resident memory, containerd running",
        megabytes(memory(&status)?),
        "goal: under 20 MB; Talos: 169 MB (machined, apid, trustd)",
    )];
    let server = Server::start(new.parent().context("a bundle lies in a folder")?)?;
    let peak = while_upgraded(&node, &server.url(&new))?;
    rows.push(row(
        "the most of it while a monthly upgrade is fetched and written",
        megabytes(peak),
        &format!("{} fetched by patches", megabytes(server.take_sent())),
    ));
    for step in status["boot"]["steps"].as_array().into_iter().flatten() {
        rows.push(boot_step(step));
    }
    Ok(rows)
}

/// Upgrades without a restart; gives the most memory that was seen meanwhile.
fn while_upgraded(node: &Node, url: &str) -> Result<u64> {
    thread::scope(|scope| {
        let upgrade = node.command(&["upgrade", "--url", url, "--no-reboot", "--wait"]);
        let upgrading = scope.spawn(move || upgrade.within(UPGRADED).run());
        let mut peak = 0;
        while !upgrading.is_finished() {
            peak = memory(&node.ask(&["status"])?)?.max(peak);
            thread::sleep(LOOK);
        }
        upgrading.join().expect("it does not panic")?;
        Ok(peak)
    })
}

fn memory(status: &Value) -> Result<u64> {
    let memory = status["agentRssBytes"].as_u64();
    memory.context("the status has no agentRssBytes")
}

fn boot_step(step: &Value) -> Row {
    let number = |field: &str| step[field].as_i64().unwrap_or_default();
    let name = step["name"].as_str().unwrap_or_default();
    let start = format!("from {} ms after the kernel's start", number("startMs"));
    row(
        &format!("boot, emulated: {name}"),
        format!("{} ms", number("durationMs")),
        &start,
    )
}
