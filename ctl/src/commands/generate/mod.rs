//! `bedplate gen`.

mod client;
mod cluster;
mod config;
mod secrets;

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

pub use config::GenConfig;

use clap::Subcommand;
use pki::{Moment, Secrets};

use crate::user_file;

/// Generates the files of a cluster.
#[derive(Debug, Subcommand)]
pub enum Gen {
    /// Generate the secrets of a new cluster: its certificate authorities, keys, token and ID.
    Secrets(secrets::GenSecrets),
    /// Generate the machine configs of a cluster, and a client config to reach it.
    ///
    /// Writes controlplane.yaml, worker.yaml and client.yaml (with --standalone: standalone.yaml and client.yaml), and
    /// secrets.yaml unless --with-secrets is given. All of them are readable by their owner only, and existing
    /// files are overwritten only with --force.
    Config(config::GenConfig),
    /// Generate a client config for another user, with a role.
    Client(client::GenClient),
}

impl Gen {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Secrets(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Client(command) => command.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn load_secrets(path: &Path) -> anyhow::Result<Secrets> {
    let text = user_file::load(path)?;
    let secrets = user_file::parse(path, &text, Secrets::from_yaml)?;
    // Nobody would trust what is signed with it.
    if let Some(flaw) = secrets.authority.check(Moment::of_host(SystemTime::now())) {
        anyhow::bail!("the certificate authority in {} {flaw}", path.display());
    }
    Ok(secrets)
}
