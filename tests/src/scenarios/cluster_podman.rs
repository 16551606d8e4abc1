//! A local cluster of Podman containers, as a person on a laptop has it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::containers::Image;
use crate::host_parameters::HostParameters;
use crate::kubernetes_programs as programs;
use crate::scenario::Stage;
use crate::tools::{self, Tool};

/// Until all nodes are healthy, or gone.
const CLUSTER: Duration = Duration::from_secs(5 * 60);
/// A healthy kubelet's node is Ready when its network is.
const READY: Duration = Duration::from_secs(120);

/// Makes two clusters, one of them not to the end, and removes both.
pub fn run(stage: &Stage) -> Result<()> {
    let bench = Bench::new(stage)?;
    let whole = bench.name("whole");
    let begun = Instant::now();
    let shown = bench
        .cluster(&[
            "create",
            "--name",
            &whole,
            "--image",
            &bench.image.name,
            "--output",
            "json",
        ])?
        .run()?;
    let shown: Value = serde_json::from_str(&shown).context("create says no JSON")?;
    let seconds = begun.elapsed().as_secs();
    let nodes = shown["nodes"].as_array().context("create names no nodes")?;
    ensure!(nodes.len() == 2 && shown["state"] == "running", "{shown:#}");
    stage.shown(&format!(
        "a control plane and a worker were healthy {seconds} s after the command"
    ));
    for node in nodes {
        bench.look_at(node["address"].as_str().unwrap_or_default())?;
    }
    let kubeconfig = fs::read_to_string(bench.kubeconfig())?;
    ensure!(
        kubeconfig.contains("certificate-authority-data"),
        "create adds nothing to the kubeconfig"
    );
    bench.ready(stage, &whole)?;
    stage.shown(&format!(
        "both nodes were Ready {} s after it",
        begun.elapsed().as_secs()
    ));

    let refused = bench
        .cluster(&["create", "--name", &whole, "--image", &bench.image.name])?
        .refuse()?;
    ensure!(
        refused.contains("already"),
        "a second cluster of one name: {refused}"
    );
    bench.cut_short(stage)?;

    bench.cluster(&["destroy", &whole, "--yes"])?.run()?;
    ensure!(
        bench.remains()?.is_empty(),
        "destroy leaves {:?}",
        bench.remains()?
    );
    let state = fs::read_dir(&bench.state)
        .map(|entries| entries.count())
        .unwrap_or_default();
    ensure!(state == 0, "destroy leaves files in {}", bench.state.display());
    let client = fs::read_to_string(&bench.client)?;
    ensure!(
        !client.contains(&whole),
        "destroy leaves the context in the client config"
    );
    let kubeconfig = fs::read_to_string(bench.kubeconfig())?;
    ensure!(
        !kubeconfig.contains("certificate-authority-data"),
        "destroy leaves the cluster in the kubeconfig"
    );
    stage.shown("destroy leaves no container, volume, network, file or context");
    Ok(())
}

/// Everything of one run, which is removed at its end.
struct Bench {
    image: Image,
    state: PathBuf,
    client: PathBuf,
    _parameters: HostParameters,
}

impl Bench {
    fn new(stage: &Stage) -> Result<Bench> {
        let state = stage.folder.join("state");
        fs::create_dir_all(&state)?;
        Ok(Bench {
            image: Image::build(stage)?,
            state,
            client: stage.folder.join("client.yaml"),
            _parameters: HostParameters::keep()?,
        })
    }

    /// Names a cluster that no other run has.
    fn name(&self, what: &str) -> String {
        format!("e2e-{}-{what}", std::process::id())
    }

    /// Returns the CLI with files of its own.
    fn bedplate(&self) -> Tool {
        Tool::new("env")
            .arg(format!("XDG_STATE_HOME={}", self.state.display()))
            .arg(format!("BEDPLATE_CONFIG={}", self.client.display()))
            .arg(format!("KUBECONFIG={}", self.kubeconfig().display()))
            .arg(tools::programs().join("bedplate"))
    }

    /// What stands for a person's kubeconfig.
    fn kubeconfig(&self) -> PathBuf {
        self.client.with_extension("kubeconfig")
    }

    fn cluster(&self, arguments: &[&str]) -> Result<Tool> {
        Ok(self.bedplate().arg("cluster").args(arguments).within(CLUSTER))
    }

    /// Checks that a node's API answers its owner, says what it is, and refuses strangers.
    fn look_at(&self, address: &str) -> Result<()> {
        let status = self
            .bedplate()
            .args(["--nodes", address, "--output", "json", "status"])
            .run()?;
        let status: Value = serde_json::from_str(&status)?;
        ensure!(status["container"]["engine"] == "podman", "{address}: {status:#}");
        let missing = status["container"]["missing"]
            .as_array()
            .map(Vec::len)
            .unwrap_or_default();
        ensure!(
            missing >= 5,
            "{address} does without {missing} things only: {status:#}"
        );
        let stranger = self
            .bedplate()
            .args(["--insecure", "--nodes", address, "status"])
            .refuse()?;
        ensure!(
            stranger.contains("certificate"),
            "{address} tells a stranger: {stranger}"
        );
        Ok(())
    }

    /// Waits until Kubernetes says that both nodes are Ready.
    fn ready(&self, stage: &Stage, cluster: &str) -> Result<()> {
        let config = self
            .state
            .join("bedplate/clusters")
            .join(cluster)
            .join("kubeconfig");
        let kubectl = Tool::new(programs::unpack(&stage.folder)?.join("kubectl"))
            .arg("--kubeconfig")
            .arg(config);
        let plain = kubectl.clone();
        let wait = format!("--timeout={}s", crate::pace::stretch(READY).as_secs());
        kubectl
            .args(["wait", "--for=condition=Ready", "node", "--all", &wait])
            .within(READY * 2)
            .run()?;
        super::cluster::names::check(stage, &plain)
    }

    /// Kills the client in the middle of a create, beside a cluster that runs.
    fn cut_short(&self, stage: &Stage) -> Result<()> {
        let name = self.name("half");
        let create = self.bedplate().args([
            "cluster",
            "create",
            "--name",
            &name,
            "--image",
            &self.image.name,
            "--wait",
            "0s",
        ]);
        create.within(CLUSTER).refuse()?;
        let list: Value = serde_json::from_str(&self.cluster(&["list", "--output", "json"])?.run()?)?;
        let half = list
            .as_array()
            .into_iter()
            .flatten()
            .find(|cluster| cluster["name"] == name.as_str());
        ensure!(half.is_some_and(|half| half["state"] == "incomplete"), "{list:#}");
        // Its files are lost, too: what is there is found all the same.
        fs::remove_dir_all(self.state.join("bedplate/clusters").join(&name))?;
        self.cluster(&["destroy", &name, "--yes"])?.run()?;
        let remains = self.remains()?;
        ensure!(remains.iter().all(|thing| !thing.contains(&name)), "{remains:?}");
        stage.shown(
            "a create that ended early, and whose files were lost, was removed beside a cluster that went on",
        );
        Ok(())
    }

    /// Lists what Podman has of this run's clusters.
    fn remains(&self) -> Result<Vec<String>> {
        let own = self.name("");
        let mut found = Vec::new();
        for list in [
            &["ps", "--all", "--format", "{{.Names}}"][..],
            &["volume", "ls", "--quiet"],
            &["network", "ls", "--quiet"],
        ] {
            let names = Tool::new("podman").args(list).run()?;
            found.extend(
                names
                    .lines()
                    .filter(|name| name.contains(&own))
                    .map(str::to_owned),
            );
        }
        Ok(found)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // After a failure everything is still there.
        for what in ["whole", "half"] {
            let _gone = self
                .cluster(&["destroy", &self.name(what), "--yes"])
                .and_then(|destroy| destroy.end());
        }
    }
}
