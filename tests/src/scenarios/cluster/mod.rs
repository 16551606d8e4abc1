//! A cluster of one node, from the flashed image to a pod that answers, and through upgrades.

mod image;
pub mod kubectl;
pub mod local;
pub mod names;
mod upgrades;
pub mod user_data;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::image::Image;
use self::kubectl::Kubectl;
use crate::kubernetes_programs as programs;
use crate::machine::Machine;
use crate::node::Node;
use crate::scenario::Stage;
use crate::tools::Tool;

const NODE: &str = "node1";
/// Two slots of a gibibyte, and room for images and etcd.
const DISK_SIZE: &str = "6G";
/// What runs there is built for a processor with AES and SHA; the first gigabyte is the components' own.
const OPTIONS: &str = "-cpu max -m 2560";
/// The node's address in the network of the emulator, where it is its own API endpoint.
const ENDPOINT: &str = "https://10.0.2.15:6443";
const UP: Duration = Duration::from_secs(240);
/// Emulated, the API server alone takes a minute and a half.
const READY: Duration = Duration::from_secs(600);
const POD: Duration = Duration::from_secs(240);
const WORKLOAD: &str = include_str!("workload.yaml");

/// The files that `bedplate gen config` makes for the cluster.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn generate(stage: &Stage) -> Result<Files> {
        let folder = stage.folder.join("config");
        let make = Tool::ours("bedplate").args(["gen", "config", "e2e-cluster", ENDPOINT, "--force"]);
        make.args(["--cert-san", "127.0.0.1", "--folder"])
            .arg(&folder)
            .run()?;
        Ok(Files { folder })
    }

    fn control_plane(&self) -> PathBuf {
        self.folder.join("controlplane.yaml")
    }

    fn client(&self) -> PathBuf {
        self.folder.join("client.yaml")
    }
}

/// Makes a cluster of one node, and runs a server and a client on it.
pub fn run(stage: &Stage) -> Result<()> {
    let files = Files::generate(stage)?;
    let bundle = Image::good(stage)?.build(stage, "0.1.0")?;
    let disk = image::flash(stage, &bundle, &files.control_plane(), NODE, DISK_SIZE)?;
    let machine = stage.start_with(Machine::Amd64Ovmf, &disk, NODE, &[OPTIONS])?;
    let node = stage.node_of(&machine, files.client());
    node.phase("running", UP)?;
    bootstrap(stage, &node)?;

    let kubeconfig = stage.folder.join("kubeconfig");
    let program = programs::unpack(&stage.folder)?.join("kubectl");
    node.command(&["kubeconfig"]).arg(&kubeconfig).run()?;
    let kubectl = Kubectl::new(program, kubeconfig, &machine);
    kubectl.ready(NODE, READY)?;
    stage.shown("bootstrapped once, and Ready");

    workload(stage, &kubectl)?;
    answers(stage, &kubectl)?;
    upgrades::run(stage, &node, &kubectl, &bundle)
}

/// Bootstraps the cluster, once.
fn bootstrap(stage: &Stage, node: &Node) -> Result<()> {
    // First the node measures its disk.
    node.until(&["status"], UP, |status| {
        let waits = status["kubernetes"]["waitsFor"].as_str().unwrap_or_default();
        waits.contains("bedplate bootstrap")
    })?;
    node.command(&["bootstrap"]).run()?;
    let said = node.refused(&["bootstrap"])?;
    stage.shown(&format!("a second bootstrap is refused: {}", said.trim()));
    Ok(())
}

/// Starts the server and the client.
fn workload(stage: &Stage, kubectl: &Kubectl) -> Result<()> {
    let file = stage.folder.join("workload.yaml");
    std::fs::write(&file, WORKLOAD)?;
    let file = file.to_str().context("the folder's name is no text")?;
    // The default service account, which pods need, is made some time after the node is Ready.
    kubectl.until(&["apply", "-f", file], POD, |printed| {
        printed.contains("pod/client")
    })?;
    Ok(())
}

/// Checks that the server answers the client by its name, and that logs can be read.
fn answers(stage: &Stage, kubectl: &Kubectl) -> Result<()> {
    let names = ["web", "web.default.svc.cluster.local"];
    for name in names {
        let url = format!("http://{name}/");
        let fetch = [
            "exec", "client", "--", "/busybox", "wget", "-q", "-O", "-", "-T", "10", &url,
        ];
        let said = kubectl.until(&fetch, POD, |said| said.contains("served by web-"))?;
        stage.shown(&format!(
            "{url} answers through its Service and by its DNS name: {}",
            said.trim()
        ));
    }
    let logs = kubectl.command(&["logs", "deployment/web"]).run()?;
    ensure!(
        logs.contains("response:200"),
        "the logs of the server lack the request: {logs}"
    );
    Ok(())
}

/// Names a path for a command line.
fn text(path: &Path) -> String {
    path.display().to_string()
}
