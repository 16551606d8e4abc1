//! `bedplate cluster destroy`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use machine_config::value::{Name, argument};

use super::wait::KUBECONFIG;
use super::{DEFAULT_NAME, provisioners};
use crate::confirm::confirm;
use crate::local::record::Records;
use crate::options::Global;
use crate::{config, kubeconfig, ui, user_file};

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
        let remembered = records.names().contains(&name);
        let provisioners = provisioners(records.load(&name)?.as_ref(), &records)?;
        let mut there = remembered;
        for provisioner in &provisioners {
            there = there || provisioner.clusters()?.contains(&name);
        }
        anyhow::ensure!(
            there,
            "there is no cluster {name:?}; `bedplate cluster list` shows those there are"
        );
        confirm(
            &format!("remove cluster {name} with its nodes and their data"),
            self.yes,
        )?;
        let _lock = remembered.then(|| records.lock(&name)).transpose()?;
        for provisioner in &provisioners {
            for removed in provisioner.destroy(&name)? {
                ui::note(&format!("removed {removed}"));
            }
        }
        self.forget_context(&name, &records, global)?;
        if let Err(error) = forget_kubeconfig(&records.of(&name).join(KUBECONFIG)) {
            ui::note(&format!("the kubeconfig is left as it is: {error:#}"));
        }
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

/// Takes the cluster out of the person's kubeconfig. `own` is the file of the cluster.
fn forget_kubeconfig(own: &Path) -> anyhow::Result<()> {
    let path = kubeconfig::file::path(None)?;
    let Some(own) = user_file::find(own)? else {
        return Ok(());
    };
    let authority =
        kubeconfig::authority(&own)?.context("the cluster's own kubeconfig names no authority")?;
    let there = user_file::find(&path)?;
    if there.is_none_or(|text| kubeconfig::remove(&text, &authority).is_ok_and(|left| left.is_none())) {
        return Ok(());
    }
    kubeconfig::file::change(&path, |old| {
        let left = kubeconfig::remove(old, &authority)?;
        Ok((left.unwrap_or_else(|| old.to_owned().into()), ()))
    })?;
    ui::note(&format!("removed the cluster from {}", path.display()));
    Ok(())
}
