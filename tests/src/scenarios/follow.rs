//! A node that follows a rollout by itself: nobody asks it for anything but its status.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::upgrade::runs;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;
use crate::tools::Tool;

const BOARD: &str = "qemu-arm64";
const UP: Duration = Duration::from_secs(240);
/// The node polls once a minute.
const POLLED: Duration = Duration::from_secs(150);
/// One poll, then fetching, writing, restarting, and becoming healthy: all of it emulated.
const UPGRADED: Duration = Duration::from_secs(500);
const PAST: &str = "2026-01-01T00:00:00Z";

/// Publishes one version after the other, and sees what the node makes of each.
pub fn run(stage: &Stage) -> Result<()> {
    let old = stage.workshop.bundle(BOARD)?;
    let new = stage.workshop.upgrade(BOARD, "0.2.0", &old)?;
    let server = stage.serve("published", &[&new])?;
    let rollout = Rollout {
        file: stage.folder.join("published/follow.json"),
        key: stage.workshop.key("release")?.secret,
    };
    rollout.make(&server.url(&new), &new)?;
    rollout.stop()?;

    let config = config(stage, &server.url(&rollout.file))?;
    let disk = stage
        .workshop
        .flash(&old, &stage.folder.join("disk.img"), Some(&config))?;
    let machine = stage.start(Machine::ArmUBoot, &disk, "follow")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;

    shows(&node, &["\"serial\":2", "\"state\":\"stopped\"", "batch 7"])?;
    let before = rollout.published()?;
    let status = node.ask(&["status"])?;
    ensure!(
        status["slots"][1]["state"] == "empty" && status["version"] == "0.1.0",
        "a stopped rollout left its mark: {status:#}"
    );
    stage.shown("its wave is open, and it does not begin: the rollout is stopped");

    rollout.change(|document| {
        document["stopped"] = false.into();
        if let Some(fields) = document.as_object_mut() {
            fields.remove("reason");
        }
    })?;
    node.until(&["status"], UPGRADED, |status| status["version"] == "0.2.0")?;
    runs(&node, "b", "0.2.0", "committed")?;
    shows(&node, &["\"serial\":3", "\"state\":\"done\""])?;
    stage.shown("upgraded by itself, and committed");

    rollout.publish(&before)?;
    shows(&node, &["serial 2 is older than 3", "\"state\":\"done\""])?;
    let status = node.ask(&["upgrade", "status"])?.to_string();
    ensure!(
        status.contains("is older than 3"),
        "`bedplate upgrade status` does not report it: {status}"
    );
    stage.shown("refuses an older version, also after the restart");
    Ok(())
}

/// Writes the cluster's machine config with a rollout that is polled once a minute. There is no time server: the clock of the
/// machine has to do.
fn config(stage: &Stage, url: &str) -> Result<PathBuf> {
    let config = fs::read_to_string(stage.workshop.cluster()?.machine)?;
    let more = format!(
        "\nmachine:\n  time: {{enabled: false}}\n  upgrades:\n    rollout: {{url: \"{url}\", interval: 1m}}\n"
    );
    let following = config.replacen("\nmachine:\n", &more, 1);
    ensure!(
        config != following,
        "the cluster's machine config has no `machine:`"
    );
    let file = stage.folder.join("machine.yaml");
    fs::write(&file, following)?;
    Ok(file)
}

/// Waits until the node shows all of these of the rollout that it follows.
fn shows(node: &Node, words: &[&str]) -> Result<()> {
    let shown = |status: &Value| {
        let status = status.to_string();
        words.iter().all(|word| status.contains(word))
    };
    let found = node.until(&["get", "RolloutStatus", "node"], POLLED, shown);
    found
        .map(drop)
        .with_context(|| format!("the node does not show {words:?}"))
}

/// A rollout where the server has it.
struct Rollout {
    file: PathBuf,
    key: PathBuf,
}

impl Rollout {
    /// Makes the first version, whose only wave is open.
    fn make(&self, url: &str, bundle: &Path) -> Result<()> {
        let make = Tool::ours("bedplate").args(["rollout", "new", "e2e", "--force", "--url", url]);
        let make = make.args(["--waves", "100", "--pause", "1m", "--begins", PAST]);
        make.arg("--bundle")
            .arg(bundle)
            .arg("--file")
            .arg(&self.file)
            .run()?;
        self.sign()
    }

    fn stop(&self) -> Result<()> {
        let stop = Tool::ours("bedplate").args(["rollout", "stop", "--reason", "batch 7", "--key"]);
        stop.arg(&self.key).arg(&self.file).run().map(drop)
    }

    /// Makes the next version.
    fn change(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut document: Value = serde_json::from_slice(&fs::read(&self.file)?)?;
        let serial = document["serial"].as_u64().context("a rollout has a serial")?;
        document["serial"] = (serial + 1).into();
        edit(&mut document);
        fs::write(&self.file, document.to_string())?;
        self.sign()
    }

    fn sign(&self) -> Result<()> {
        let sign = Tool::ours("bedplate").args(["rollout", "sign", "--key"]);
        sign.arg(&self.key).arg(&self.file).run().map(drop)
    }

    /// Returns both files as they are published.
    fn published(&self) -> Result<[Vec<u8>; 2]> {
        Ok([fs::read(&self.file)?, fs::read(self.signatures())?])
    }

    /// Puts both files back.
    fn publish(&self, files: &[Vec<u8>; 2]) -> Result<()> {
        fs::write(&self.file, &files[0])?;
        fs::write(self.signatures(), &files[1])?;
        Ok(())
    }

    fn signatures(&self) -> PathBuf {
        self.file.with_extension("json.minisig")
    }
}
