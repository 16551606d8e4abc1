//! Workloads: from the bundle, from a registry and imported; and what becomes of them when something fails.

mod full;
mod image;
mod published;
mod registry;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::image::Image;
use self::registry::Registry;
use crate::emulator::Emulator;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;

const BOARD: &str = "qemu-arm64";
const UP: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(180);
/// Enough that the power can be cut before all of it is there.
const BALLAST: usize = 96 << 20;
/// The image in the bundle.
const BUNDLED: &str = "localhost/tester:bundled";
/// The image that is imported.
const IMPORTED: &str = "localhost/tester:imported";

/// What it cannot run without.
pub const TOOLS: &[&str] = &[registry::PROGRAM, "curl"];

/// The workloads: three that serve, one that needs too much, those of [`published`], and one that does what is said to DATA.
fn workloads(tag: &str, filler: Option<&str>) -> String {
    let health = "healthCheck: {command: [/faulty, check], interval: 2s, timeout: 60s, retries: 2}";
    format!(
        "workloads:
  - name: bundled
    image: {{bundled: \"{BUNDLED}\"}}
    mounts: [{{volume: bundled, target: /data}}]
    {health}
  - name: pulled
    image: {{reference: \"registry.test/tester:{tag}\"}}
    dependsOn: [bundled]
    trialPeriod: 90s
    {health}
  - name: imported
    image: {{reference: \"{IMPORTED}\"}}
    network: {{mode: host}}
    {health}
  - name: eater
    image: {{bundled: \"{BUNDLED}\"}}
    args: [eat]
    resources: {{memory: 16MiB}}
{}{}",
        published::workloads(BUNDLED),
        full::workload(BUNDLED, filler),
    )
}

/// Runs through it on one machine.
pub fn run(stage: &Stage) -> Result<()> {
    let mut registry = Registry::start(&stage.folder.join("registry"))?;
    let image = Image::new(&[], 0)?;
    registry.push(&image, "1")?;
    registry.push(&Image::new(&["SICK=1"], 0)?, "2")?;
    registry.push(&Image::new(&[], BALLAST)?, "4")?;
    let disk = {
        let folder = stage.folder.join("release");
        fs::create_dir_all(&folder)?;
        let archive = image.archive(BUNDLED, &folder.join("tester.tar"))?;
        let archive = archive.display().to_string();
        let bundle = stage
            .workshop
            .build_release(BOARD, "release", &folder, &["--container", &archive])?;
        let config = config(stage, &registry, "1", None)?;
        let disk = stage.folder.join("disk.img");
        stage.workshop.flash(&bundle, &disk, Some(&config))?
    };
    let machine = stage.start(Machine::ArmUBoot, &disk, "boot")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;

    all_three(stage, &node, &image)?;
    published::run(stage, &node, &machine)?;
    crash(stage, &node)?;
    too_much(stage, &node)?;
    rolled_back(stage, &node, &registry)?;
    full::run(stage, &node, &registry)?;

    registry.stop();
    apply(stage, &node, &registry, "3")?;
    stage_of(&node, "pulled", "fetching", |one| {
        one["runningImage"] == "registry.test/tester:1" && one["problem"] != ""
    })?;
    stage.shown("with the registry gone the old image runs on, and the problem says so");
    registry.resume()?;
    cut_while_pulling(stage, machine, &disk, &registry)
}

/// Waits for the three that serve, the last of which is imported.
fn all_three(stage: &Stage, node: &Node, image: &Image) -> Result<()> {
    stage_of(node, "bundled", "committed", healthy)?;
    stage_of(node, "pulled", "committed", healthy)?;
    stage.shown(
        "one runs from the bundle, one from a registry on the host, each found healthy by its own check",
    );
    stage_of(node, "imported", "fetching", |one| one["problem"] != "")?;
    let archive = image.archive("localhost/other:1", &stage.folder.join("import.tar"))?;
    let archive = archive.display().to_string();
    node.command(&["images", "import", &archive, "--name", IMPORTED])
        .run()?;
    let one = stage_of(node, "imported", "committed", healthy)?;
    ensure!(
        one["usage"]["memoryBytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0),
        "no usage: {one:#}"
    );
    let images = node.command(&["images", "list"]).run()?;
    ensure!(
        images.contains(IMPORTED) && images.contains("registry.test/tester:1"),
        "{images}"
    );
    let needed = node.refused(&["images", "remove", IMPORTED])?;
    ensure!(needed.contains("is needed by imported"), "{needed}");
    stage.shown("one runs from an archive that the client sent");
    Ok(())
}

/// Restarts one, whose volume remembers, and stops and starts it, with one that depends on it.
fn crash(stage: &Stage, node: &Node) -> Result<()> {
    node.command(&["workload", "restart", "bundled"]).run()?;
    let until = stage.soon(SOON);
    while !node
        .command(&["workload", "logs", "bundled"])
        .run()?
        .contains("serves, start 2")
    {
        ensure!(std::time::Instant::now() < until, "it does not start again");
        std::thread::sleep(Duration::from_secs(1));
    }
    node.command(&["workload", "stop", "bundled"]).run()?;
    of(node, "pulled", |one| one["service"]["state"] == "waiting")?;
    node.command(&["workload", "start", "bundled"]).run()?;
    of(node, "pulled", healthy)?;
    stage.shown("a restart keeps the volume; one that depends on another stops and starts with it");
    Ok(())
}

/// Watches the one that needs more memory than it may have.
fn too_much(stage: &Stage, node: &Node) -> Result<()> {
    let one = of(node, "eater", |one| {
        one["service"]["restarts"].as_u64().is_some_and(|count| count > 0)
            && one["problem"]
                .as_str()
                .is_some_and(|text| text.contains("needs more memory than its 16MiB"))
    })?;
    of(node, "bundled", healthy)?;
    stage.shown(&format!(
        "one that needs too much is killed alone, and started again: {}",
        one["problem"]
    ));
    Ok(())
}

/// Asks for an image that does not get healthy.
fn rolled_back(stage: &Stage, node: &Node, registry: &Registry) -> Result<()> {
    apply(stage, node, registry, "2")?;
    let one = stage_of(node, "pulled", "rolled-back", |one| {
        healthy(one) && one["runningImage"] == "registry.test/tester:1"
    })?;
    let events = node.command(&["events"]).run()?;
    ensure!(
        events.contains("is rolled back to registry.test/tester:1"),
        "no event: {events}"
    );
    stage.shown(&format!(
        "an image that does not get healthy is rolled back: {}",
        one["problem"]
    ));
    Ok(())
}

/// Cuts the power while a large image is pulled, and sees it arrive after the next start.
fn cut_while_pulling(
    stage: &Stage,
    machine: Emulator,
    disk: &crate::disk::Disk,
    registry: &Registry,
) -> Result<()> {
    let node = stage.node(&machine)?;
    apply(stage, &node, registry, "4")?;
    stage_of(&node, "pulled", "fetching", |one| {
        one["image"] == "registry.test/tester:4"
    })?;
    std::thread::sleep(Duration::from_secs(2));
    let pulled = node.ask(&["images", "list"])?.to_string().contains("tester:4");
    machine.cut_power();
    ensure!(!pulled, "the image was there before the power was cut");
    let machine = stage.start(Machine::ArmUBoot, disk, "after-the-cut")?;
    let node = stage.node(&machine)?;
    node.phase("running", UP)?;
    stage_of(&node, "pulled", "committed", |one| {
        healthy(one) && one["runningImage"] == "registry.test/tester:4"
    })?;
    for name in ["bundled", "imported"] {
        of(&node, name, healthy)?;
    }
    stage.shown("after a power cut in the middle of a pull the image arrives, and the others run");
    Ok(())
}

fn apply(stage: &Stage, node: &Node, registry: &Registry, tag: &str) -> Result<()> {
    apply_with(stage, node, registry, tag, None)
}

/// Applies the config with a workload that does something to DATA.
fn apply_with(
    stage: &Stage,
    node: &Node,
    registry: &Registry,
    tag: &str,
    filler: Option<&str>,
) -> Result<()> {
    let config = config(stage, registry, tag, filler)?.display().to_string();
    node.command(&["apply", "--file", &config]).run().map(drop)
}

/// Writes the machine config with the workloads and the registry.
fn config(stage: &Stage, registry: &Registry, tag: &str, filler: Option<&str>) -> Result<PathBuf> {
    let machine = fs::read_to_string(stage.workshop.cluster()?.machine)?;
    let (before, after) = machine
        .split_once("\nmachine:\n")
        .context("the config has no machine")?;
    let registries = format!(
        "  registries: [{{host: registry.test, mirrors: [\"{}\"]}}]\n",
        registry.mirror()
    );
    let text = format!(
        "{before}\nmachine:\n{registries}{after}\n{}",
        workloads(tag, filler)
    );
    let path: &Path = &stage.folder.join(format!("config-{tag}.yaml"));
    fs::write(path, text)?;
    Ok(path.to_owned())
}

/// Waits until a workload is as wanted.
fn of(node: &Node, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let list = node.until(&["workloads"], SOON, |list| find(list, name).is_some_and(&wanted))?;
    Ok(find(&list, name).cloned().unwrap_or_default())
}

/// Waits until a workload is in a stage, and as wanted.
fn stage_of(node: &Node, name: &str, stage: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    of(node, name, |one| one["stage"] == stage && wanted(one))
}

fn find<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list["workloads"]
        .as_array()?
        .iter()
        .find(|one| one["name"] == name)
}

fn healthy(one: &Value) -> bool {
    one["service"]["state"] == "running" && one["service"]["health"] == "healthy"
}
