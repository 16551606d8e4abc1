//! `bedplate cluster create`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use machine_config::v1alpha1::Role;
use machine_config::value::{Name, argument};

use super::machines::Machines;
use super::{DEFAULT_NAME, Kind, blocking, show, wait};
use crate::commands::generate::GenConfig;
use crate::config;
use crate::local::plan::{self, Node};
use crate::local::provisioner::Provisioner;
use crate::local::record::{Record, Records};
use crate::options::Global;
use crate::ui;

/// Creates a cluster.
#[derive(Debug, Args)]
pub struct Create {
    /// Name of the cluster, which is also that of its context.
    #[arg(long, default_value = DEFAULT_NAME, value_parser = argument::<Name>)]
    name: Name,
    /// Who runs the nodes.
    #[arg(long, value_enum, default_value_t = Kind::Podman)]
    provisioner: Kind,
    /// Number of control planes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    control_planes: usize,
    /// Number of workers.
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Image of the nodes. With podman: a file that `bedplate-image container` built, or the name of an image that is loaded. With
    /// qemu: a disk image, raw or qcow2. [default: localhost/bedplate:VERSION; bedplate-generic-ARCH-VERSION.qcow2, here or in out]
    #[arg(long, value_name = "FILE|NAME")]
    image: Option<String>,
    /// Build the image first, with this release of Kubernetes: a folder, an archive or a version, as for `bedplate-image
    /// build`. Run it in a checkout of Bedplate.
    #[arg(long, value_name = "PATH|VERSION", conflicts_with = "image")]
    kubernetes: Option<String>,
    #[command(flatten)]
    machines: Machines,
    /// How long to wait for healthy nodes. [default: 10m; 1h for nodes that are emulated]
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    wait: Option<Duration>,
    /// Leave the client config and the kubeconfig unchanged.
    #[arg(long)]
    no_merge: bool,
}

impl Create {
    /// Runs the command.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        plan::check(self.control_planes, self.workers)?;
        if self.provisioner != Kind::Qemu {
            self.machines.refuse()?;
        }
        let (name, records) = (self.name.to_string(), Records::open()?);
        let provisioner = self.provisioner.with_machines(&records, &self.machines);
        provisioner.check()?;
        self.refuse_taken_context(global, &name)?;
        if records.load(&name)?.is_none() && provisioner.clusters()?.contains(&name) {
            anyhow::bail!(
                "there are remains of a cluster {name:?}: remove them with `bedplate cluster destroy {name}`"
            );
        }
        let mut record = Record {
            name: name.clone(),
            provisioner: self.provisioner.word().to_owned(),
            image: self.image.clone().unwrap_or_else(|| provisioner.usual_image()),
            endpoint: None,
            nodes: Vec::new(),
            complete: false,
        };
        let folder = records.create(&record)?;
        let _lock = records.lock(&name)?;
        let made = self.make(provisioner.as_ref(), &records, &folder, &mut record, global);
        made.with_context(|| {
            format!("cluster {name:?} is not complete; `bedplate cluster destroy {name}` removes what there is of it")
        })?;
        show::one(&name, global)
    }

    /// Makes everything, in the order in which one needs the other.
    fn make(
        &self,
        provisioner: &dyn Provisioner,
        records: &Records,
        folder: &Path,
        record: &mut Record,
        global: &Global,
    ) -> anyhow::Result<()> {
        record.image = self.image(provisioner, record, folder)?;
        ui::note("making the network");
        let network = provisioner.make_network(&record.name)?;
        record.nodes = plan::nodes(&network, self.control_planes, self.workers)?;
        let first = record.nodes[0].address;
        let endpoint = format!("https://{first}:6443");
        record.endpoint = Some(endpoint.clone());
        records.save(record)?;
        GenConfig::of_cluster(self.name.clone(), endpoint, folder.to_owned()).write()?;
        for number in 0..record.nodes.len() {
            let node = &mut record.nodes[number];
            ui::note(&format!("{}: starting at {}", node.name, node.address));
            let config = match node.role() {
                Role::ControlPlane => "controlplane.yaml",
                Role::Worker | Role::Standalone => "worker.yaml",
            };
            provisioner.start(&record.name, node, &record.image, &folder.join(config))?;
            records.save(record)?;
        }
        let first = &record.nodes[0];
        record.endpoint = Some(first.kubernetes());
        records.save(record)?;
        let own = folder.join("client.yaml");
        let mut client = config::load(&own)?.context("the client config was not written")?;
        client.context_mut(&record.name)?.endpoints = vec![first.api()];
        config::save(&own, &client)?;
        let context = client.context(&record.name)?.clone();
        blocking(wait::until_ready(
            record,
            &context,
            folder,
            self.wait.unwrap_or_else(|| provisioner.patience()),
            provisioner,
        ))??;
        if !self.no_merge {
            let path = config::path(global.config.as_deref())?;
            let mut file = config::load(&path)?.unwrap_or_default();
            let (added, mut context) = (context.clone(), context);
            context.nodes = record.nodes.iter().map(Node::api).collect();
            file.contexts.insert(record.name.clone(), context);
            file.current.get_or_insert_with(|| record.name.clone());
            config::save(&path, &file)?;
            ui::note(&format!("context {} is in {}", record.name, path.display()));
            // The cluster has a file of its own, whatever becomes of the person's.
            match blocking(wait::add_kubeconfig(record, &added))? {
                Ok(path) => ui::note(&format!("kubectl finds the cluster by {}", path.display())),
                Err(error) => {
                    ui::note(&format!("the cluster is not added to your kubeconfig: {error:#}"));
                    say_own_file(folder);
                }
            }
        } else {
            say_own_file(folder);
        }
        record.complete = true;
        records.save(record)
    }

    /// Refuses a name under which the client knows another cluster.
    fn refuse_taken_context(&self, global: &Global, name: &str) -> anyhow::Result<()> {
        let path = config::path(global.config.as_deref())?;
        let taken = config::load(&path)?.is_some_and(|file| file.contexts.contains_key(name));
        anyhow::ensure!(
            self.no_merge || !taken,
            "{} has a context {name:?} already: choose another name with --name, or add --no-merge",
            path.display()
        );
        Ok(())
    }

    /// Gets the image, and returns its name.
    fn image(&self, provisioner: &dyn Provisioner, record: &Record, folder: &Path) -> anyhow::Result<String> {
        if let Some(kubernetes) = &self.kubernetes {
            return provisioner.build(&record.name, kubernetes, folder);
        }
        let file = Path::new(&record.image);
        if file.is_file() {
            ui::note("loading the image");
            return provisioner.load(&record.name, file);
        }
        provisioner.has(&record.image)?;
        Ok(record.image.clone())
    }
}

/// Says where the cluster's own kubeconfig is.
fn say_own_file(folder: &Path) {
    ui::note(&format!(
        "to use it: export KUBECONFIG={}",
        folder.join(wait::KUBECONFIG).display()
    ));
}
