//! `bedplate gen secrets`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use pki::Secrets;

use crate::config::write_private;
use crate::ui;

/// Makes secrets.
#[derive(Debug, Args)]
pub struct GenSecrets {
    /// Where to write them.
    #[arg(
        long,
        visible_alias = "output-file",
        value_name = "FILE",
        default_value = "secrets.yaml"
    )]
    file: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

impl GenSecrets {
    /// Does it.
    pub fn run(self) -> anyhow::Result<()> {
        let secrets = Secrets::generate(SystemTime::now())?;
        write_private(&self.file, &secrets.to_yaml()?, self.force)?;
        ui::line(&self.file.display().to_string())?;
        ui::note("whoever has this file owns the cluster: keep it safe, and off the nodes");
        Ok(())
    }
}
