//! The image of the nodes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::kubernetes_programs as programs;
use crate::scenario::Stage;
use crate::tools::{self, Tool};

/// Building an image, and loading it.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// An image that Podman has until the value is dropped.
pub struct Image {
    /// Its name.
    pub name: String,
}

impl Image {
    /// Builds it from what is built, and loads it.
    pub fn build(stage: &Stage) -> Result<Image> {
        let image = Image {
            name: format!("localhost/bedplate-e2e-{}:test", std::process::id()),
        };
        let programs = programs::find().context("they were there")?;
        let file = stage.folder.join("image.tar");
        let tree = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let build = Tool::ours("bedplate-image").args(["container", "--quiet", "--overlay", "kubernetes"]);
        let build = build.args(["--name", &image.name, "--kubernetes"]).arg(programs);
        let build = build
            .arg("--tree")
            .arg(tree)
            .arg("--binaries")
            .arg(tools::target().join("node"));
        build.arg("--out").arg(&file).within(LIMIT).run()?;
        Tool::new("podman")
            .args(["load", "--quiet", "--input"])
            .arg(&file)
            .within(LIMIT)
            .run()?;
        fs::remove_file(file)?;
        Ok(image)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _gone = Tool::new("podman").args(["rmi", "--force", &self.name]).end();
    }
}
