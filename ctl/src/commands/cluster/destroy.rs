//! `bedplate cluster destroy`.

use std::process::ExitCode;

use clap::Args;
use machine_config::value::{Name, argument};

use super::DEFAULT_NAME;
use crate::config;
use crate::confirm::confirm;
use crate::local::podman::Podman;
use crate::local::provisioner::Provisioner;
use crate::local::record::Records;
use crate::options::Global;
use crate::ui;

/// Removes a cluster.
#[derive(Debug, Args)]
pub struct Destroy {
    /// Name of the cluster.
    #[arg(default_value = DEFAULT_NAME, value_parser = argument::<Name>)]
    name: Name,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

impl Destroy {
    /// Runs the command.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let (name, records) = (self.name.to_string(), Records::open()?);
        Podman.check()?;
        let remembered = records.names().contains(&name);
        anyhow::ensure!(
            remembered || Podman.clusters()?.contains(&name),
            "there is no cluster {name:?}; `bedplate cluster list` shows those there are"
        );
        confirm(
            &format!("remove cluster {name} with its nodes and their data"),
            self.yes,
        )?;
        let _lock = remembered.then(|| records.lock(&name)).transpose()?;
        for removed in Podman.destroy(&name)? {
            ui::note(&format!("removed {removed}"));
        }
        self.forget_context(&name, &records, global)?;
        // Last: until all is gone, the name finds it again.
        records.remove(&name)?;
        ui::note(&format!("cluster {name} is gone"));
        Ok(ExitCode::SUCCESS)
    }

    /// Takes the cluster's context out of the client config, unless it is another cluster's of the same name.
    fn forget_context(&self, name: &str, records: &Records, global: &Global) -> anyhow::Result<()> {
        let Some(own) = config::load(&records.of(name).join("client.yaml"))? else {
            return Ok(());
        };
        let path = config::path(global.config.as_deref())?;
        let Some(mut file) = config::load(&path)? else {
            return Ok(());
        };
        let authority =
            |file: &config::ClientConfig| file.contexts.get(name).map(|context| context.ca.clone());
        if authority(&file).is_none() || authority(&file) != authority(&own) {
            return Ok(());
        }
        file.contexts.remove(name);
        file.current = file.current.filter(|current| current != name);
        config::save(&path, &file)?;
        ui::note(&format!("removed context {name} from {}", path.display()));
        Ok(())
    }
}
