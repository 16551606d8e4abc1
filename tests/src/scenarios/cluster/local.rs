//! A local cluster of virtual machines, as a person on a laptop makes it with one command.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::image::Image;
use super::programs;
use crate::local_cluster::LocalCluster;
use crate::scenario::Stage;
use crate::tools::Tool;

/// Nodes that are emulated, by the client's own default.
const CREATED: Duration = Duration::from_secs(3600);
const GONE: Duration = Duration::from_secs(120);

/// Creates one of a control plane and a worker, and removes it.
pub fn run(stage: &Stage) -> Result<()> {
    let image = Image::good(stage)?.build_disk(stage, "0.1.0")?;
    let name = format!("e2e-{}", std::process::id());
    let cluster = LocalCluster::new(&stage.folder, &name)?;
    let begun = Instant::now();
    let create = cluster.create(1, 1)?.args(["--provisioner", "qemu"]);
    let create = create.arg("--image").arg(image.path()).args(["--output", "json"]);
    let shown: Value = serde_json::from_str(&create.within(CREATED).run()?).context("create says no JSON")?;
    ensure!(
        shown["state"] == "running" && shown["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2),
        "{shown:#}"
    );
    stage.shown(&format!(
        "a control plane and a worker were healthy {} s after the command",
        begun.elapsed().as_secs()
    ));

    // The kubeconfig that a person has, in which create put the cluster.
    let own = stage.folder.join("state/kubeconfig");
    let kubectl = Tool::new(programs::unpack(&stage.folder)?.join("kubectl"));
    let nodes = kubectl
        .arg("--kubeconfig")
        .arg(&own)
        .args(["get", "nodes", "-o", "json"]);
    let nodes: Value = serde_json::from_str(&nodes.run()?)?;
    let ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let ready = nodes["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|node| ready(node));
    ensure!(ready.count() == 2, "not all nodes are Ready: {nodes:#}");
    stage.shown("kubectl, with the kubeconfig that create wrote, finds both nodes Ready");

    let destroy = cluster.bedplate().args(["cluster", "destroy", &name, "--yes"]);
    destroy.within(GONE).run()?;
    let list = cluster
        .bedplate()
        .args(["--output", "json", "cluster", "list"])
        .run()?;
    ensure!(!list.contains(&name), "destroy leaves it in the list: {list}");
    let kubeconfig = fs::read_to_string(&own)?;
    ensure!(
        !kubeconfig.contains("certificate-authority-data"),
        "destroy leaves the cluster in the kubeconfig"
    );
    let left = machines_of(&name)?;
    ensure!(left.is_empty(), "destroy leaves machines: {left:?}");
    stage.shown("destroy leaves no machine, file or context");
    Ok(())
}

/// Lists processes that have the cluster's name in their arguments, and are machines.
fn machines_of(name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.starts_with("qemu-system") && words.contains(name) {
            found.push(words);
        }
    }
    Ok(found)
}
