//! Releases that only tests have: built by the real builder, with overlays from the tree of tests/faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::disk::Disk;
use crate::scenario::Stage;
use crate::tools::{self, Tool};

const BOARD: &str = "qemu-arm64";
const ARCH: &str = "arm64";
const VERSION: &str = "0.2.0";
const BUILD_LIMIT: Duration = Duration::from_secs(10 * 60);
/// The folder of this crate's sources, which lies in the repository.
const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// The program that misbehaves.
const PROGRAM: &str = "faulty";

/// A release that is built with one overlay more, or with another agent.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    overlay: Option<&'static str>,
}

impl Release {
    /// The release with an init that ends at once in the place of machined.
    pub const NO_AGENT: Release = Release { overlay: None };

    /// Returns the release with one overlay more.
    pub const fn overlay(name: &'static str) -> Release {
        Release { overlay: Some(name) }
    }

    /// Names it.
    pub fn name(&self) -> &'static str {
        self.overlay.unwrap_or("no-agent")
    }

    /// Builds it, and flashes it to slot A of a disk of its own, with or without a machine config.
    pub fn flash(&self, stage: &Stage, config: Option<&Path>) -> Result<Disk> {
        let folder = stage.folder.join("releases").join(self.name());
        let options = match self.overlay {
            Some(overlay) => vec!["--overlay", overlay],
            None => Vec::new(),
        };
        let binaries = match self.overlay {
            Some(_) => programs(),
            None => without_agent(&folder)?,
        };
        let bundle = build(stage, &folder, &options, &binaries)?;
        let disk = stage.folder.join(format!("release-{}.img", self.name()));
        stage.workshop.flash(&bundle, &disk, config)
    }
}

/// Returns the folder of the programs for nodes.
fn programs() -> PathBuf {
    tools::target().join("node")
}

/// Makes a folder of programs in which machined is the one that misbehaves.
fn without_agent(folder: &Path) -> Result<PathBuf> {
    let binaries = folder.join("node");
    let own = binaries.join(ARCH);
    if !own.exists() {
        fs::create_dir_all(&binaries)?;
        Tool::new("cp")
            .arg("-r")
            .args([&programs().join(ARCH), &own])
            .run()?;
        copy(&own.join(PROGRAM), &own.join("machined"))?;
    }
    Ok(binaries)
}

/// Builds the board's bundle with what the tree of faulty overlays adds.
fn build(stage: &Stage, folder: &Path, options: &[&str], binaries: &Path) -> Result<PathBuf> {
    let repository = Path::new(HERE).join("..");
    let build = Tool::ours("bedplate-image").args(["build", "--quiet", "--output", "json"]);
    let build = build.args(["--board", BOARD, "--version", VERSION]).args(options);
    let build = build
        .arg("--key")
        .arg(stage.workshop.key("release")?.secret)
        .arg("--tree")
        .arg(&repository)
        .arg("--tree")
        .arg(tree(stage)?)
        .arg("--binaries")
        .arg(binaries)
        .arg("--out")
        .arg(folder);
    let printed = build.within(BUILD_LIMIT).run()?;
    let report: serde_json::Value =
        serde_json::from_str(&printed).context("bedplate-image prints no JSON")?;
    let bundle = report["bundle"]
        .as_str()
        .context("bedplate-image reports no bundle")?;
    Ok(PathBuf::from(bundle))
}

/// Returns the tree of faulty overlays, with the program where their files are looked for.
fn tree(stage: &Stage) -> Result<PathBuf> {
    let tree = stage.folder.join("tree");
    let files = tree.join("overlays").join(PROGRAM).join("files");
    if !files.exists() {
        fs::create_dir_all(&tree)?;
        let from = Path::new(HERE).join("faults/overlays");
        Tool::new("cp").arg("-r").args([&from, &tree]).run()?;
        fs::create_dir_all(&files)?;
        copy(&programs().join(ARCH).join(PROGRAM), &files.join(PROGRAM))?;
    }
    Ok(tree)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {}; `cargo xtask build` makes it", from.display()))?;
    Ok(())
}
