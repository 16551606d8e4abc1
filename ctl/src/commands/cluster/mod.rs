//! `bedplate cluster`.

mod create;
mod destroy;
mod machines;
mod show;
mod wait;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use machine_config::value::{Name, argument};

use self::machines::Machines;
use crate::local::podman::Podman;
use crate::local::provisioner::Provisioner;
use crate::local::qemu::{self, Qemu};
use crate::local::record::{Record, Records};
use crate::options::Global;

/// Manages local clusters.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Create a cluster on this host, and wait until its nodes are healthy.
    ///
    /// With podman, nodes are privileged containers with the root file system that boards have: run it as root. With qemu, they are
    /// virtual machines with a disk image that boards and clouds get, and nobody needs to be root.
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
    /// QEMU, as virtual machines.
    Qemu,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Podman, Kind::Qemu];

    const fn word(self) -> &'static str {
        match self {
            Kind::Podman => "podman",
            Kind::Qemu => qemu::WORD,
        }
    }

    /// Returns the provisioner for what is there already.
    fn provisioner(self, records: &Records) -> Box<dyn Provisioner> {
        self.with_machines(records, &Machines::default())
    }

    /// Returns the provisioner for nodes on these machines.
    fn with_machines(self, records: &Records, machines: &Machines) -> Box<dyn Provisioner> {
        match self {
            Kind::Podman => Box::new(Podman),
            Kind::Qemu => Box::new(Qemu::new(records.clone(), machines.size(), !machines.no_kvm)),
        }
    }
}

/// Returns the provisioners that may have something of a cluster: that of its record, or all that are here.
fn provisioners(record: Option<&Record>, records: &Records) -> anyhow::Result<Vec<Box<dyn Provisioner>>> {
    let Some(record) = record else {
        let here = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::Podman || Podman::is_installed());
        return Ok(here.map(|kind| kind.provisioner(records)).collect());
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.word() == record.provisioner);
    let kind = kind.with_context(|| {
        format!(
            "cluster {:?} is run by {:?}, which this version does not know",
            record.name, record.provisioner
        )
    })?;
    Ok(vec![kind.provisioner(records)])
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
