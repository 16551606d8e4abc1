//! The life of a node, from an empty disk to its reset.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::hardened;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

const BOARD: &str = "qemu-arm64";
const UP: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(120);

/// Runs through it on one machine.
pub fn run(stage: &Stage) -> Result<()> {
    let disk = stage.disk(BOARD, false)?;
    let machine = stage.start(Machine::ArmUBoot, &disk, "boot")?;

    let nobody = stage.anybody(&machine);
    let waiting = nobody.phase("maintenance", UP)?;
    stage.shown(&format!(
        "waits for a config, {} ms after power-on",
        waiting["uptimeMs"]
    ));
    maintenance_is_harmless(stage, &nobody)?;

    let cluster = stage.workshop.cluster()?;
    let config = cluster.machine.display().to_string();
    nobody.command(&["apply", "--file", &config]).run()?;
    let node = stage.node(&machine)?;
    let running = node.phase("running", UP)?;
    stage.shown("runs once it has a config");

    strangers_are_refused(stage, &machine)?;
    answers(stage, &node)?;
    hardened::check(stage, &node)?;
    let before = identity(&node, &running)?;

    node.command(&["reboot", "--yes"]).run()?;
    let boot = running["boot"]["bootId"].clone();
    let again = node.until(&["status"], UP, |status| {
        status["phase"] == "running" && status["boot"]["bootId"] != boot
    })?;
    let after = identity(&node, &again)?;
    ensure!(
        before == after,
        "it is another node after a restart:\n{before:#}\n{after:#}"
    );
    stage.shown("is the same node after a restart");

    node.command(&["reset", "--yes"]).run()?;
    let nobody = stage.anybody(&machine);
    nobody.phase("maintenance", UP)?;
    node.refused(&["status"])?;
    stage.shown("is nobody's again after a reset");
    Ok(())
}

fn maintenance_is_harmless(stage: &Stage, nobody: &Node) -> Result<()> {
    for words in [&["reboot", "--yes"][..], &["ls", "/"], &["get-config"]] {
        nobody.refused(words)?;
    }
    stage.shown("refuses everything but reads and a config before it has one");
    Ok(())
}

fn strangers_are_refused(stage: &Stage, machine: &Emulator) -> Result<()> {
    stage.anybody(machine).refused(&["status"])?;
    let stranger = stage.workshop.cluster_named("stranger")?;
    let stranger = Node::with_client(machine.api_port, stranger.client, stage.soon(SOON));
    stranger.refused(&["status"])?;
    stage.shown("refuses a client without a certificate, and one of another CA");
    Ok(())
}

/// Asks everything that a healthy node answers.
fn answers(stage: &Stage, node: &Node) -> Result<()> {
    let services = node.until(&["services"], SOON, |services| {
        rows(services, "services")
            .iter()
            .any(|row| row["name"] == "containerd" && row["health"] == "healthy")
    })?;
    stage.shown(&format!(
        "runs {} services, containerd is healthy",
        rows(&services, "services").len()
    ));
    node.until(&["get", "ImageStatus"], SOON, |images| {
        images.to_string().contains("pause")
    })?;
    stage.shown("has the pause image with no registry in reach");
    for words in [
        &["version"][..],
        &["time"],
        &["processes"],
        &["memory"],
        &["cpu"],
        &["disks"],
        &["mounts"],
        &["net"],
        &["ls", "/"],
        &["get-config"],
    ] {
        node.command(words).run()?;
    }
    let kernel = node.command(&["dmesg"]).run()?;
    ensure!(
        kernel.contains("Linux version"),
        "the kernel's log has no beginning"
    );
    let agent = node.command(&["logs", "machined"]).run()?;
    ensure!(!agent.trim().is_empty(), "machined's log is empty");
    let watched = node
        .command(&["get", "TimeStatus", "--watch"])
        .within(Duration::from_secs(5))
        .watch()?;
    ensure!(!watched.trim().is_empty(), "watching a resource shows nothing");
    stage.shown("answers version, time, statistics, files, logs, config and watches");
    Ok(())
}

/// Returns what must survive a restart.
fn identity(node: &Node, status: &Value) -> Result<Value> {
    let config = node.command(&["get-config"]).run()?;
    Ok(serde_json::json!({"hostname": status["hostname"], "cluster": status["cluster"], "config": config}))
}

/// Returns the rows of a list in an answer.
fn rows<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer[field].as_array().map_or(&[], Vec::as_slice)
}
