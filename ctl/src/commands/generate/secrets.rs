//! `bedplate gen secrets`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use pki::Secrets;

use super::load_secrets;
use crate::config::write_private;
use crate::ui;

/// Generates secrets.
#[derive(Debug, Args)]
pub struct GenSecrets {
    /// File to write.
    #[arg(
        long,
        visible_alias = "output-file",
        value_name = "FILE",
        default_value = "secrets.yaml"
    )]
    file: PathBuf,
    /// Overwrite an existing file.
    #[arg(long, conflicts_with = "complete")]
    force: bool,
    /// Add what is missing to an existing file, and keep everything that is there.
    #[arg(long)]
    complete: bool,
}

impl GenSecrets {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        if self.complete {
            return self.complete();
        }
        let secrets = Secrets::generate(SystemTime::now())?;
        write_private(&self.file, &secrets.to_yaml(), self.force)?;
        ui::line(&self.file.display().to_string())?;
        ui::note("whoever has this file controls the cluster: keep it safe, and do not copy it to nodes");
        Ok(())
    }

    fn complete(self) -> anyhow::Result<()> {
        let mut secrets = load_secrets(&self.file)?;
        if secrets.complete(SystemTime::now())? {
            write_private(&self.file, &secrets.to_yaml(), true)?;
            ui::note("added the certificate authorities and keys of Kubernetes");
        } else {
            ui::note("nothing is missing");
        }
        ui::line(&self.file.display().to_string())
    }
}
