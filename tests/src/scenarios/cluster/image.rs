//! Images with Kubernetes, as these scenarios need them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{programs, text};
use crate::disk::Disk;
use crate::scenario::Stage;
use crate::tools::{self, Tool};

/// The board of machines that nobody gives a name.
const BOARD: &str = "generic-amd64";
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);
const FLASH_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The folder of this crate's sources, which lies in the repository.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// What an image is built from.
pub struct Image {
    board: &'static str,
    kubernetes: PathBuf,
}

impl Image {
    /// Returns one that works.
    pub fn good(stage: &Stage) -> Result<Image> {
        Image::of_board(stage, BOARD)
    }

    /// Returns one that works, for a board.
    pub fn of_board(stage: &Stage, board: &'static str) -> Result<Image> {
        let kubernetes = programs::unpack(&stage.folder)?;
        Ok(Image { board, kubernetes })
    }

    /// Returns one whose kubelet ends at once.
    pub fn broken(stage: &Stage) -> Result<Image> {
        let folder = stage.folder.join("broken-kubelet");
        fs::create_dir_all(&folder)?;
        for program in fs::read_dir(programs::unpack(&stage.folder)?)?.flatten() {
            fs::copy(program.path(), folder.join(program.file_name()))?;
        }
        let faulty = tools::target().join("node/amd64/faulty");
        fs::copy(&faulty, folder.join("kubelet"))
            .with_context(|| format!("cannot copy {}; `cargo xtask build` makes it", faulty.display()))?;
        Ok(Image {
            board: BOARD,
            kubernetes: folder,
        })
    }

    /// Builds a release of it, and returns the bundle.
    pub fn build(&self, stage: &Stage, version: &str) -> Result<PathBuf> {
        let report = self.run(stage, version, &[])?;
        let bundle = report["bundle"].as_str();
        Ok(PathBuf::from(bundle.context("bedplate-image reports no bundle")?))
    }

    /// Builds a release of it as a raw disk image, which clouds start machines from.
    pub fn build_disk(&self, stage: &Stage, version: &str) -> Result<Disk> {
        let report = self.run(stage, version, &["--disk-image=raw"])?;
        let image = report["diskImages"][0].as_str();
        let image = image.context("bedplate-image reports no disk image")?;
        Ok(Disk::at(PathBuf::from(image)))
    }

    fn run(&self, stage: &Stage, version: &str, further: &[&str]) -> Result<serde_json::Value> {
        let folder = stage.folder.join("releases").join(version);
        fs::create_dir_all(&folder)?;
        let repository = Path::new(HERE).join("..");
        let build = Tool::ours("bedplate-image").args(["build", "--quiet", "--output", "json"]);
        let build = build.args([
            "--board",
            self.board,
            "--version",
            version,
            "--overlay",
            "cluster-test",
        ]);
        let build = build.args(["--kubernetes", &text(&self.kubernetes)]);
        let build = build.args([
            "--kubernetes-version",
            &programs::version(&programs::unpack(&stage.folder)?)?,
        ]);
        let build = build.arg("--key").arg(stage.workshop.key("release")?.secret);
        let build = build.arg("--tree").arg(&repository);
        let build = build.arg("--tree").arg(Path::new(HERE).join("cluster"));
        let build = build.arg("--binaries").arg(tools::target().join("node"));
        let build = build.args(further).arg("--out").arg(&folder);
        let printed = build.within(BUILD_LIMIT).run()?;
        serde_json::from_str(&printed).context("bedplate-image prints no JSON")
    }
}

/// Flashes a release with a config for a node of this name.
pub fn flash(stage: &Stage, bundle: &Path, config: &Path, name: &str, size: &str) -> Result<Disk> {
    let disk = stage.folder.join(format!("{name}.img"));
    fs::remove_file(&disk).ok();
    let flash = Tool::ours("bedplate-flash").arg(bundle).arg(&disk);
    let flash = flash.args(["--yes", "--size", size, "--hostname", name]);
    let flash = flash.arg("--key").arg(stage.workshop.key("release")?.public);
    flash.arg("--config").arg(config).within(FLASH_LIMIT).run()?;
    Ok(Disk::at(disk))
}
