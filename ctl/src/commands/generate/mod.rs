//! `bedplate gen`.

mod client;
mod config;
mod secrets;

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Subcommand;
use pki::{Moment, Secrets};

use crate::written;

/// Makes the files of a cluster.
#[derive(Debug, Subcommand)]
pub enum Gen {
    /// Make the secrets of a new cluster: its authority, token and identity.
    Secrets(secrets::GenSecrets),
    /// Make the machine configs of a cluster, and the client's file to reach it.
    ///
    /// Writes controlplane.yaml, worker.yaml and client.yaml (with --standalone: standalone.yaml and client.yaml), and
    /// secrets.yaml unless secrets are given: all of them for their owner's eyes only, and none over a file that is there.
    Config(config::GenConfig),
    /// Make a client's file for another user, with a role.
    Client(client::GenClient),
}

impl Gen {
    /// Does it.
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
    let text = written::load(path)?;
    let secrets = written::parse(path, &text, Secrets::from_yaml)?;
    // What would be signed with it, nobody would believe.
    if let Some(flaw) = secrets.authority.check(Moment::of_host(SystemTime::now())) {
        anyhow::bail!("the authority in {} {flaw}", path.display());
    }
    Ok(secrets)
}
