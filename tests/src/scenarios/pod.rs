//! A pod, as kubelet would start it.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::releases::Release;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

const UP: Duration = Duration::from_secs(240);
/// Image import, a snapshot, a shim, a container.
const SOON: Duration = Duration::from_secs(120);
/// The release with a service that starts one pod through containerd's container runtime interface, and ends.
const RELEASE: Release = Release::overlay("pod");

/// Starts one on a node that can reach no registry.
pub fn run(stage: &Stage) -> Result<()> {
    let config = stage.workshop.cluster()?.machine;
    let disk = RELEASE.flash(stage, Some(&config))?;
    let machine = stage.start(Machine::ArmUBoot, &disk, "pod")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;
    node.until(&["services"], SOON, |services| {
        let pod = row(services, "services", "pod");
        pod.is_some_and(|pod| pod["state"] == "stopped")
    })?;
    let said = node.command(&["logs", "pod"]).run()?;
    ensure!(said.contains("is ready"), "the pod's service says: {said}");
    let processes = node.ask(&["processes"])?;
    let pause = row(&processes, "processes", "pause");
    ensure!(pause.is_some(), "no pause runs: {processes:#}");
    let line = said
        .lines()
        .find(|line| line.contains("is ready"))
        .unwrap_or_default();
    stage.shown(&format!("a sandbox from the image's own pause: {}", line.trim()));
    let privileged = said
        .lines()
        .find(|line| line.contains("privileged container has"));
    let privileged = privileged.unwrap_or_default().trim();
    ensure!(
        !privileged.is_empty(),
        "no privileged container was started: {said}"
    );
    stage.shown(&format!(
        "{privileged}: no modules, no kexec, no raw memory, no clock"
    ));
    pry(stage, &node)
}

/// Checks what came of the attempts of a service with every capability that it takes to change a kernel.
fn pry(stage: &Stage, node: &Node) -> Result<()> {
    node.until(&["services"], SOON, |services| {
        let pry = row(services, "services", "pry");
        pry.is_some_and(|pry| matches!(pry["state"].as_str(), Some("stopped" | "failed")))
    })?;
    let said = node.command(&["logs", "pry"]).run()?;
    ensure!(
        said.contains("nothing was let in"),
        "the service that pries says: {said}"
    );
    let refused = said.lines().filter(|line| line.contains("refused: ")).count();
    ensure!(refused == 5, "not all ways were tried: {said}");
    stage.shown(
        "root with every capability gets no unsigned or changed module, no memory and no other kernel",
    );
    Ok(())
}

/// Finds the row of a name in an answer.
fn row<'a>(answer: &'a Value, field: &str, name: &str) -> Option<&'a Value> {
    let rows = answer[field].as_array()?;
    rows.iter().find(|row| row["name"] == name)
}
