//! A cluster on this machine: highly available, made by one command, and one control plane of it lost.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{say, show};
use crate::kubernetes_programs as programs;
use crate::local_cluster::LocalCluster;
use crate::tools::{self, Tool};

const NAME: &str = "demo";
/// What kubectl is asked for.
const NODES: [&str; 4] = ["get", "nodes", "--output", "wide"];

/// What cluster is shown.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Number of control planes
    #[arg(long, default_value_t = 3, requires = "cluster")]
    control_planes: usize,
    /// Number of workers
    #[arg(long, default_value_t = 1, requires = "cluster")]
    workers: usize,
    /// Programs of Kubernetes: a folder, an archive or a version
    #[arg(long, value_name = "PATH|VERSION", requires = "cluster")]
    kubernetes: Option<String>,
}

impl Args {
    /// Shows it.
    pub fn run(self, keeps: bool) -> Result<()> {
        let found = self
            .kubernetes
            .or_else(|| programs::find().map(|path| path.display().to_string()));
        let kubernetes = found.with_context(|| {
            "a cluster needs the programs of Kubernetes: name a folder, an archive or a version with --kubernetes (a version comes from the server that BEDPLATE_KUBERNETES_MIRROR names)"
        })?;
        let start = Instant::now();
        let folder = tools::target().join("demo-cluster");
        let cluster = LocalCluster::new(&folder, NAME)?;
        say(&format!(
            "making a cluster of {} control planes and {} workers, each a container",
            self.control_planes, self.workers
        ));
        let create = cluster.create(self.control_planes, self.workers)?;
        create.args(["--kubernetes", &kubernetes]).show()?;
        say(&format!(
            "all nodes were healthy {} s after the command\n",
            start.elapsed().as_secs()
        ));

        let first = cluster.first()?;
        for words in [&["health", "--wait"][..], &["etcd", "members"]] {
            let typed = format!("bedplate --nodes {first} {}", words.join(" "));
            show(&typed, &cluster.bedplate().args(["--nodes", &first]).args(words))?;
        }
        let kubectl = programs::kubectl(&kubernetes, &folder)?;
        if let Some(kubectl) = &kubectl {
            let kubectl = Tool::new(kubectl).arg("--kubeconfig").arg(cluster.kubeconfig());
            show("kubectl get nodes --output wide", &kubectl.args(NODES))?;
        }
        say(&format!("all of it took {} s", start.elapsed().as_secs()));
        if keeps {
            say("the cluster stays. To use it, and to remove it:");
            let program = kubectl.unwrap_or_else(|| "kubectl".into());
            for line in [
                format!("export KUBECONFIG={}", cluster.kubeconfig().display()),
                format!("{} get pods --all-namespaces", program.display()),
                format!("alias bedplate='{}'", cluster.typed()),
                "bedplate health".to_owned(),
                format!("bedplate cluster destroy {NAME}"),
            ] {
                stdio::line(format_args!("  {line}"))?;
            }
            cluster.keep();
        } else {
            say("the cluster is removed; `cargo xtask demo --cluster --keep` leaves it");
        }
        Ok(())
    }
}
