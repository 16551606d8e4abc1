//! `bedplate cluster`.

mod create;
mod destroy;
mod show;
mod wait;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use machine_config::value::{Name, argument};

use crate::local::podman::Podman;
use crate::local::provisioner::Provisioner;
use crate::options::Global;

/// Manages local clusters.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Create a cluster on this host, and wait until its nodes are healthy.
    ///
    /// Nodes are privileged containers, with the root file system that boards have. Run it as root.
    Create(create::Create),
    /// List the local clusters.
    #[command(visible_alias = "ls")]
    List,
    /// Show the nodes of a local cluster.
    Show(Named),
    /// Remove a local cluster with everything that belongs to it, also one that was not created to the end.
    Destroy(destroy::Destroy),
}

/// The name of a cluster.
#[derive(Debug, Args)]
pub struct Named {
    /// Name of the cluster.
    #[arg(default_value = DEFAULT_NAME, value_parser = argument::<Name>)]
    name: Name,
}

/// The name of a cluster that got none.
const DEFAULT_NAME: &str = "local";

/// Who runs the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Podman, as containers.
    Podman,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Podman => "podman",
        }
    }

    fn provisioner(self) -> Box<dyn Provisioner> {
        match self {
            Kind::Podman => Box::new(Podman),
        }
    }
}

impl Cluster {
    /// Runs the command.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(global),
            Self::List => show::list(global),
            Self::Show(Named { name }) => show::one(&name.to_string(), global),
            Self::Destroy(destroy) => destroy.run(global),
        }
    }
}

/// Runs what calls nodes.
fn blocking<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime
        .context("cannot start the async runtime")?
        .block_on(future))
}
