//! A cluster of Podman containers on this machine, as `bedplate cluster create` makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::host_parameters::HostParameters;
use crate::tools::{self, Tool};

/// Making it: the image is built, and its packages are fetched the first time.
const MAKING: Duration = Duration::from_secs(40 * 60);
const REMOVING: Duration = Duration::from_secs(5 * 60);

/// A cluster with files of its own. It is removed, with whatever there is of it, when this is dropped.
pub struct LocalCluster {
    name: String,
    state: PathBuf,
    client: PathBuf,
    _parameters: HostParameters,
}

impl LocalCluster {
    /// Begins with nothing: removes what a run that was interrupted left.
    pub fn new(folder: &Path, name: &str) -> Result<LocalCluster> {
        let cluster = LocalCluster {
            name: name.to_owned(),
            state: folder.join("state"),
            client: folder.join("client.yaml"),
            _parameters: HostParameters::keep()?,
        };
        fs::create_dir_all(&cluster.state)?;
        cluster.remove();
        Ok(cluster)
    }

    /// Returns the command that makes it, without its image.
    pub fn create(&self, control_planes: usize, workers: usize) -> Result<Tool> {
        let create = self.bedplate().args(["cluster", "create", "--name", &self.name]);
        let create = create.args(["--control-planes", &control_planes.to_string()]);
        Ok(create.args(["--workers", &workers.to_string()]).within(MAKING))
    }

    /// Returns the CLI with the files of this cluster.
    pub fn bedplate(&self) -> Tool {
        Tool::new("env").args(self.words())
    }

    /// Returns what a person types for the CLI with the files of this cluster.
    pub fn typed(&self) -> String {
        format!("env {}", self.words().join(" "))
    }

    /// Returns the address of the control plane that began it.
    pub fn first(&self) -> Result<String> {
        let show = self
            .bedplate()
            .args(["--output", "json", "cluster", "show", &self.name]);
        let shown: Value = serde_json::from_str(&show.run()?)?;
        let address = shown["nodes"][0]["address"].as_str();
        Ok(address.context("the cluster has no nodes")?.to_owned())
    }

    /// Returns the file for kubectl.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state
            .join("bedplate/clusters")
            .join(&self.name)
            .join("kubeconfig")
    }

    /// Lets it run on.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn words(&self) -> [String; 4] {
        [
            format!("XDG_STATE_HOME={}", self.state.display()),
            format!("BEDPLATE_CONFIG={}", self.client.display()),
            // Not the person's own.
            format!("KUBECONFIG={}", self.state.join("kubeconfig").display()),
            tools::programs().join("bedplate").display().to_string(),
        ]
    }

    fn remove(&self) {
        let destroy = self.bedplate().args(["cluster", "destroy", &self.name, "--yes"]);
        let _gone = destroy.within(REMOVING).end();
        let image = format!("localhost/bedplate-{}:{}", self.name, env!("CARGO_PKG_VERSION"));
        let _gone = Tool::new("podman").args(["rmi", "--force", &image]).end();
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.remove();
    }
}
