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
    /// Validate machine configs.
    #[command(subcommand)]
    Config(commands::config::Config),
    /// Manage the contexts of the client config: the clusters this client knows.
    #[command(subcommand)]
    Context(commands::context::Context),
    /// Show the versions of this program and of nodes.
    Version(commands::version::Version),
    #[command(flatten)]
    Remote(Remote),
    /// Roll a release out to a fleet, wave by wave.
    #[command(subcommand, after_long_help = commands::rollout::EXAMPLES)]
    Rollout(commands::rollout::Rollout),
    /// Write a bundle to a disk or a file; see `bedplate flash --help`.
    Flash(commands::flash::Flash),
    /// Generate a shell completion script.
    Completions(commands::completions::Completions),
}

/// Defines the commands that only call nodes: a row is all that the command line needs of one.
macro_rules! remote_commands {
    ($($(#[$attribute:meta])* $name:ident($command:ty),)*) => {
        /// The commands that only call nodes.
        #[derive(Debug, Subcommand)]
        enum Remote {
            $($(#[$attribute])* $name($command),)*
        }

        impl Remote {
            /// Runs the command on the session's nodes.
            async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
                match self {
                    $(Self::$name(command) => command.run(session).await,)*
                }
            }
        }
    };
}

remote_commands! {
    /// Show the status of nodes: phase, boot, slots, health.
    Status(commands::status::Status),
    /// Show whether nodes are healthy and, if not, why.
    ///
    /// Exits with 0 when all nodes are healthy, with 3 when one is degraded (everything that its config requires holds, but
    /// something else is wrong), with 4 when one is unhealthy, and with 1 when one cannot be reached.
    Health(commands::health::Health),
    /// Show the clocks of nodes.
    Time(commands::time::Time),
    /// Show or watch resources: the state that controllers work on.
    Get(commands::get::Get),
    /// List services.
    Services(commands::services::Services),
    /// Start, stop and restart services.
    #[command(subcommand)]
    Service(commands::services::Service),
    /// Show the log of machined or of a service.
    Logs(commands::logs::Logs),
    /// Show the kernel log.
    Dmesg(commands::logs::Dmesg),
    /// Show the events of nodes.
    Events(commands::logs::Events),
    /// List processes.
    Processes(commands::processes::Processes),
    /// Show memory usage.
    Memory(commands::memory::Memory),
    /// Show CPUs, load and temperature.
    Cpu(commands::cpu::Cpu),
    /// List disks and partitions.
    Disks(commands::disks::Disks),
    /// List mounted file systems.
    Mounts(commands::mounts::Mounts),
    /// List network interfaces.
    Net(commands::net::Net),
    /// List files.
    Ls(commands::files::Ls),
    /// Print the content of a file.
    Read(commands::files::Read),
    /// Apply a machine config to nodes.
    ///
    /// The config is validated here, and once more by each node. Use --fingerprint (shown on the node's console) or --insecure
    /// for a node in maintenance mode.
    Apply(commands::apply::Apply),
    /// Print a node's machine config.
    ///
    /// Only admins see the secrets in it. Redacted or not, the config can be edited and applied again: the node fills in its
    /// own secrets where they are redacted.
    GetConfig(commands::get_config::GetConfig),
    /// Reboot nodes.
    Reboot(commands::power::Reboot),
    /// Shut nodes down.
    Shutdown(commands::power::Shutdown),
    /// Wipe the state or the data of nodes.
    Reset(commands::power::Reset),
    /// Upgrade nodes to another release.
    ///
    /// A node writes the release into the slot that is not running, verifies it, and reboots into it on trial. It keeps the
    /// release if it becomes healthy, and falls back to the old one if it does not. Several nodes are upgraded one after
    /// another, and none starts after one has failed. An interrupted upgrade is resumed by running the same command again.
    Upgrade(Box<commands::upgrade::Upgrade>),
}

impl Cli {
    /// Runs the command that was typed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let global = self.global;
        match self.command {
            Command::Gen(command) => command.run(),
            Command::Config(command) => command.run(),
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
            Command::Flash(command) => command.run(),
            Command::Completions(command) => command.run(&mut Self::command()),
        }
    }
}

/// Runs a command that calls nodes.
fn with_session(
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
