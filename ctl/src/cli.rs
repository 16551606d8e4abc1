//! What can be typed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use pki::Fingerprint;

use crate::commands;
use crate::session::Session;
use crate::ui::Format;

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

/// Whom to ask, as whom, and how to show the answer.
#[derive(Debug, Args)]
pub struct Global {
    /// The client's file; `~/.config/bedplate/config.yaml` unless given.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_CONFIG",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub config: Option<PathBuf>,
    /// The context to use instead of the current one.
    #[arg(
        long,
        global = true,
        env = "BEDPLATE_CONTEXT",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub context: Option<String>,
    /// Nodes to ask, all at once: names or addresses, with commas between.
    #[arg(
        short,
        long,
        global = true,
        value_delimiter = ',',
        value_name = "NODE,…",
        help_heading = "Connection"
    )]
    pub nodes: Vec<String>,
    /// Ask whichever of these answers first in order, instead of the context's nodes.
    #[arg(
        short,
        long,
        global = true,
        value_delimiter = ',',
        value_name = "HOST[:PORT],…",
        conflicts_with = "nodes",
        help_heading = "Connection"
    )]
    pub endpoint: Vec<String>,
    /// How long a node may take to answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "15s", value_parser = duration, help_heading = "Connection")]
    pub timeout: Duration,
    /// Believe only the node whose certificate has this fingerprint: it stands on the node's console.
    #[arg(long, global = true, value_name = "SHA-256", help_heading = "Connection")]
    pub fingerprint: Option<Fingerprint>,
    /// Believe whoever answers. Only for a node in maintenance mode on a network you trust.
    #[arg(
        long,
        global = true,
        conflicts_with = "fingerprint",
        help_heading = "Connection"
    )]
    pub insecure: bool,
    /// How to show the answer.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub output: Format,
}

/// Everything it can do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make secrets, configs and client certificates.
    #[command(subcommand)]
    Gen(commands::generate::Gen),
    /// Check machine configs.
    #[command(subcommand)]
    Config(commands::config::Config),
    /// Choose and edit the clusters this client knows.
    #[command(subcommand)]
    Context(commands::context::Context),
    /// Show the versions of this program and of nodes.
    Version(commands::version::Version),
    /// Show how nodes are: phase, boot, slots, health.
    Status(commands::status::Status),
    /// Show whether nodes are healthy, and why not.
    ///
    /// Ends with 0 when all are healthy, with 3 when one is degraded (all that its config requires holds, and something else
    /// is wrong), with 4 when one is unhealthy, and with 1 when one cannot be asked.
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
    /// Show the kernel's log.
    Dmesg(commands::logs::Dmesg),
    /// Show what happened on nodes.
    Events(commands::logs::Events),
    /// List processes.
    Processes(commands::processes::Processes),
    /// Show how memory is used.
    Memory(commands::memory::Memory),
    /// Show processors, load and temperature.
    Cpu(commands::cpu::Cpu),
    /// List disks and partitions.
    Disks(commands::disks::Disks),
    /// List mounted file systems.
    Mounts(commands::mounts::Mounts),
    /// List network interfaces.
    Net(commands::net::Net),
    /// List files.
    Ls(commands::files::Ls),
    /// Write a file's content to standard output.
    Read(commands::files::Read),
    /// Give nodes a machine config.
    ///
    /// It is checked here, and once more by each node. A node in maintenance mode is reached with --fingerprint, which its
    /// console shows, or with --insecure.
    Apply(commands::apply::Apply),
    /// Write a node's machine config to standard output.
    ///
    /// Secrets are in it for admins only. Redacted or not, it can be edited and applied again: the node fills its own
    /// secrets in where they are redacted.
    GetConfig(commands::get_config::GetConfig),
    /// Restart nodes.
    Reboot(commands::power::Reboot),
    /// Switch nodes off.
    Shutdown(commands::power::Shutdown),
    /// Wipe the state or the data of nodes.
    Reset(commands::power::Reset),
    /// Bring nodes to another release.
    ///
    /// A node writes the release into the slot that does not run, proves it, and restarts into it on trial. It keeps it
    /// when it got well, and goes back to the old one when it did not. Several nodes take turns, and none begins after one
    /// has failed. A node that was cut off goes on from what it has written: run the same command again.
    Upgrade(Box<commands::upgrade::Upgrade>),
    /// Bring a release to a fleet, wave by wave.
    #[command(subcommand, after_long_help = commands::rollout::EXAMPLES)]
    Rollout(commands::rollout::Rollout),
    /// Put a bundle on a disk, or into a file; `bedplate flash --help` tells how.
    Flash(commands::flash::Flash),
    /// Print a script that completes commands in a shell.
    Completions(commands::completions::Completions),
}

impl Cli {
    /// Does what was typed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let global = self.global;
        match self.command {
            Command::Gen(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Context(command) => command.run(&global),
            Command::Flash(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Version(command) => match command.client_only(&global)? {
                Some(code) => Ok(code),
                None => ask(global, async |session| command.run(session).await),
            },
            Command::Status(command) => ask(global, async |session| command.run(session).await),
            Command::Health(command) => ask(global, async |session| command.run(session).await),
            Command::Time(command) => ask(global, async |session| command.run(session).await),
            Command::Get(command) => ask(global, async |session| command.run(session).await),
            Command::Services(command) => ask(global, async |session| command.run(session).await),
            Command::Service(command) => ask(global, async |session| command.run(session).await),
            Command::Logs(command) => ask(global, async |session| command.run(session).await),
            Command::Dmesg(command) => ask(global, async |session| command.run(session).await),
            Command::Events(command) => ask(global, async |session| command.run(session).await),
            Command::Processes(command) => ask(global, async |session| command.run(session).await),
            Command::Memory(command) => ask(global, async |session| command.run(session).await),
            Command::Cpu(command) => ask(global, async |session| command.run(session).await),
            Command::Disks(command) => ask(global, async |session| command.run(session).await),
            Command::Mounts(command) => ask(global, async |session| command.run(session).await),
            Command::Net(command) => ask(global, async |session| command.run(session).await),
            Command::Ls(command) => ask(global, async |session| command.run(session).await),
            Command::Read(command) => ask(global, async |session| command.run(session).await),
            Command::Apply(command) => ask(global, async |session| command.run(session).await),
            Command::GetConfig(command) => ask(global, async |session| command.run(session).await),
            Command::Reboot(command) => ask(global, async |session| command.run(session).await),
            Command::Shutdown(command) => ask(global, async |session| command.run(session).await),
            Command::Upgrade(command) => ask(global, async |session| command.run(session).await),
            Command::Rollout(command) => match command.offline(&global)? {
                Ok(code) => Ok(code),
                Err(command) => ask(global, async |session| command.run(session).await),
            },
            Command::Reset(command) => ask(global, async |session| command.run(session).await),
        }
    }
}

/// Runs a command that talks to nodes.
fn ask(
    global: Global,
    command: impl AsyncFnOnce(Session) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(&global)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .context("cannot start the runtime")?
        .block_on(command(session))
}

/// Reads `500ms`, `15s`, `2m`, `1h`, `30d`; a plain number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, quantity::Wrong> {
    match quantity::time(text) {
        Err(quantity::Wrong::NoUnit(_)) => quantity::time(&format!("{text}s")),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("15"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "s", "1y", "-1s", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
