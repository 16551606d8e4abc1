//! `bedplate gen`.

mod client;
mod config;
mod secrets;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use pki::Secrets;
use zeroize::Zeroizing;

/// Makes the files of a cluster.
#[derive(Debug, Subcommand)]
pub enum Gen {
    /// Make the secrets of a new cluster: its authority, token and identity.
    Secrets(secrets::GenSecrets),
    /// Make the machine configs of a cluster, and the client's file to reach it.
    ///
    /// Writes control-plane.yaml, worker.yaml and client.yaml (with --standalone: standalone.yaml and client.yaml), and
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
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    Secrets::from_yaml(&text).with_context(|| format!("cannot use {}", path.display()))
}
