//! Upgrades as users make them: planned, fetched from a plain web server, kept when healthy, and taken back.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;
use crate::server::Server;

const BOARD: &str = "qemu-arm64";
const UP: Duration = Duration::from_secs(240);
/// Fetching, writing, restarting, and becoming healthy: all of it emulated.
const UPGRADED: Duration = Duration::from_secs(400);
/// What a release of which one file changed may cost, in percent of a whole one.
const SMALL_CHANGE: f64 = 2.0;

/// Upgrades a node, goes back, and offers it what it must refuse.
pub fn run(stage: &Stage) -> Result<()> {
    let old = stage.workshop.bundle(BOARD)?;
    let new = stage.workshop.upgrade(BOARD, "0.2.0", &old)?;
    let server = stage.serve("bundles", &[&old, &new])?;
    let disk = stage.disk(BOARD, true)?;
    let machine = stage.start(Machine::ArmUBoot, &disk, "upgrade")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;

    refusals(stage, &node, &server, &old)?;
    server.take_sent();
    let planned = plan(stage, &node, &server.url(&new))?;

    server.take_sent();
    let url = server.url(&new);
    node.command(&["upgrade", "--url", &url, "--wait"])
        .within(UPGRADED)
        .run()?;
    runs(&node, "b", "0.2.0", "committed")?;
    let sent = server.take_sent();
    ensure!(
        sent <= planned + 64 * 1024,
        "{sent} bytes were fetched, and {planned} planned"
    );
    stage.shown(&format!("upgraded by {sent} bytes, and committed"));

    node.command(&["upgrade", "rollback", "--yes"])
        .within(UPGRADED)
        .run()?;
    runs(&node, "a", "0.1.0", "committed")?;
    stage.shown("rolled back");

    server.cut_after(200_000);
    let third = stage.workshop.upgrade(BOARD, "0.3.0", &new)?;
    let push = third.display().to_string();
    node.command(&["upgrade", "--bundle", &push, "--wait"])
        .within(UPGRADED)
        .run()?;
    runs(&node, "b", "0.3.0", "committed")?;
    stage.shown("upgraded without any server, without patches for what runs");

    let history = node.ask(&["upgrade", "history"])?.to_string();
    for word in ["0.2.0", "0.3.0", "committed", "rolled"] {
        ensure!(
            history.to_lowercase().contains(word),
            "the history lacks {word}: {history}"
        );
    }
    stage.shown("the history reports all of it");
    Ok(())
}

/// Offers what must be refused before a byte is written.
fn refusals(stage: &Stage, node: &Node, server: &Server, own: &Path) -> Result<()> {
    let other = stage.workshop.bundle("generic-arm64")?;
    let options = ["--version", "0.9.0"];
    let stranger = stage
        .workshop
        .build_release(BOARD, "stranger", &stage.folder, &options)?;
    let others = stage.serve("refused", &[&other, &stranger])?;
    for (bundle, reason) in [(other.as_path(), "board"), (&stranger, "trusted")] {
        let said = node.refused(&["upgrade", "--url", &others.url(bundle)])?;
        ensure!(
            said.contains(reason),
            "{} was refused, but not for {reason:?}: {said}",
            bundle.display()
        );
    }
    // Nothing is to be done, which is no failure: whoever upgrades many nodes may ask twice.
    let said = node.command(&["upgrade", "--url", &server.url(own)]).end()?;
    ensure!(
        said.success && (said.stdout + &said.stderr).contains("already"),
        "its own release was not recognised"
    );
    let status = node.ask(&["status"])?;
    ensure!(
        status["slots"][1]["state"] == "empty",
        "a refused bundle left its mark: {status:#}"
    );
    stage.shown("refuses another board's bundle, a stranger's, and its own");
    Ok(())
}

/// Plans an upgrade; returns the bytes that it would fetch.
fn plan(stage: &Stage, node: &Node, url: &str) -> Result<u64> {
    let printed = node.ask(&["upgrade", "--url", url, "--plan"])?;
    let number = |field: &str| find(&printed, field).and_then(Value::as_u64);
    let fetch = number("fetchBytes").with_context(|| format!("no fetchBytes in {printed:#}"))?;
    let full = number("fullBytes").with_context(|| format!("no fullBytes in {printed:#}"))?;
    let percent = fetch as f64 * 100.0 / full as f64;
    ensure!(
        percent <= SMALL_CHANGE,
        "one changed file costs {percent:.2} % of a whole bundle: {printed:#}"
    );
    stage.shown(&format!(
        "plans to fetch {fetch} bytes, {percent:.2} % of the whole"
    ));
    Ok(fetch)
}

/// Finds a field, wherever in a document it is.
fn find<'a>(document: &'a Value, field: &str) -> Option<&'a Value> {
    match document {
        Value::Object(map) => map
            .get(field)
            .or_else(|| map.values().find_map(|value| find(value, field))),
        Value::Array(items) => items.iter().find_map(|value| find(value, field)),
        _ => None,
    }
}

/// Waits until a slot runs with a version, in a state.
pub(super) fn runs(node: &Node, slot: &str, version: &str, state: &str) -> Result<()> {
    let as_wanted = |status: &Value| {
        let number = usize::from(slot == "b");
        status["boot"]["slot"] == slot
            && status["version"] == version
            && status["slots"][number]["state"] == state
            && status["phase"] == "running"
    };
    node.until(&["status"], UP, as_wanted).map(drop)
}
