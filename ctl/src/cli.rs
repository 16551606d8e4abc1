//! The command line: every command, and how each is run.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands;
use crate::options::Global;
use crate::session::Session;

/// Controls nodes that run Bedplate.
#[derive(Debug, Parser)]
#[command(
    name = "bedplate",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Every command, in the order of the help text.
#[derive(Debug, Subcommand)]
enum Command {
    /// Generate secrets, machine configs and client certificates.
    #[command(subcommand)]
    Gen(commands::generate::Gen),
    /// Validate, patch and compare machine configs.
    #[command(subcommand, visible_alias = "machineconfig")]
    Config(commands::config::Config),
    /// Manage the contexts of the client config: the clusters this client knows.
    #[command(subcommand)]
    Context(commands::context::Context),
    /// Show the versions of this program and of nodes.
    Version(commands::version::Version),
    #[command(flatten)]
    Remote(commands::Remote),
    /// Replace the certificate authorities of a cluster, while it runs.
    ///
    /// First every node accepts the new authorities beside the old ones, then the new ones sign and every certificate is
    /// renewed, then the old ones are dropped. Nodes are changed one at a time, control planes first, each by its machine
    /// config, and none before the one before it is healthy. The context of the client config is changed along with them.
    ///
    /// An interrupted rotation goes on when the same command is run again. All nodes must be there; without --nodes, and without
    /// nodes in the context, they are those that the cluster knows.
    RotateCa(commands::rotate_ca::RotateCa),
    /// List the nodes on the networks of this computer, also those that wait for a machine config.
    Discover(commands::discover::Discover),
    /// Start, stop and restart workloads, show their logs, and translate Compose files to them.
    #[command(subcommand)]
    Workload(commands::workload::Workload),
    /// Create, list and destroy local clusters, for development and for a first look.
    #[command(subcommand)]
    Cluster(commands::cluster::Cluster),
    /// Roll a release out to a fleet, wave by wave.
    #[command(subcommand, after_long_help = commands::rollout::EXAMPLES)]
    Rollout(commands::rollout::Rollout),
    /// Write a bundle to a disk or a file; see `bedplate flash --help`.
    Flash(commands::flash::Flash),
    /// Generate a shell completion script.
    Completions(commands::completions::Completions),
}

impl Cli {
    /// Runs the command that was typed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let global = self.global;
        match self.command {
            Command::Gen(command) => command.run(),
            Command::Config(command) => command.run(&global),
            Command::Context(command) => command.run(&global),
            Command::Version(command) => match command.client_only(&global)? {
                Some(code) => Ok(code),
                None => with_session(&global, async |session| command.run(session).await),
            },
            Command::Remote(command) => with_session(&global, async |session| command.run(session).await),
            Command::Rollout(command) => match command.offline(&global)? {
                Ok(code) => Ok(code),
                Err(command) => with_session(&global, async |session| command.run(session).await),
            },
            Command::RotateCa(command) => command.run(&global),
            Command::Discover(command) => command.run(&global),
            Command::Workload(command) => match command.offline(&global)? {
                Ok(code) => Ok(code),
                Err(command) => with_session(&global, async |session| command.run(session).await),
            },
            Command::Cluster(command) => command.run(&global),
            Command::Flash(command) => command.run(),
            Command::Completions(command) => command.run(&mut Self::command()),
        }
    }
}

/// Runs a command that calls nodes.
pub(crate) fn with_session(
    global: &Global,
    command: impl AsyncFnOnce(Session) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(global)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .context("cannot start the async runtime")?
        .block_on(command(session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
