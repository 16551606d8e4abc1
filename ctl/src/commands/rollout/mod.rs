//! `bedplate rollout`: rolls a release out to a fleet, wave by wave.
//!
//! The document and every decision are in the crate `rollout`. [`write`] are the commands that create, sign and verify one,
//! [`read`] reads its newest version, [`run`] upgrades nodes to the release.

mod read;
mod run;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Subcommand;
use rollout::Moment;

use crate::config;
use crate::options::Global;
use crate::session::Session;

/// The examples in the help text.
pub const EXAMPLES: &str = "\
Examples:
  Create and sign a rollout, with the key that signs releases:
    bedplate rollout new release-0.2.0 --url https://example.org/node.bundle --pause 2h
    bedplate rollout sign rollout.json --key bedplate.key
  Let nodes that follow it start by themselves, the second wave two hours after the first:
    bedplate rollout new release-0.2.0 --url https://example.org/node.bundle --pause 2h \\
        --begins $(date -u -d tomorrow +%FT%TZ) --ends $(date -u -d '1 week' +%FT%TZ)
  Show which node is in which wave:
    bedplate rollout run rollout.json --key bedplate.pub -n a,b,c --plan
  Upgrade the nodes wave by wave; run the same command again to continue after an interruption:
    bedplate rollout run https://example.org/rollout.json --key bedplate.pub -n a,b,c
  Keep further nodes from starting; publish both files afterwards:
    bedplate rollout stop rollout.json --reason 'boards of batch 7' --key bedplate.key";

/// Rolls a release out to a fleet.
#[derive(Debug, Subcommand)]
pub enum Rollout {
    #[command(flatten)]
    Write(write::Write),
    /// Upgrade nodes to a rollout's release, wave by wave.
    ///
    /// A node's place in the order comes from the rollout's seed and the node's hostname. Nodes that already run the
    /// release are skipped, so the same command continues where another run ended. The document is read again before each
    /// node: if the rollout was stopped, no further node starts. A version older than one seen before is refused.
    ///
    /// The time of --begins applies only to nodes that follow the rollout by themselves, not to this command.
    Run(run::Run),
}

impl Rollout {
    /// Runs a command that calls no nodes; returns one that does.
    pub fn offline(self, global: &Global) -> anyhow::Result<Result<ExitCode, Online>> {
        match self {
            Rollout::Write(command) => command.run(global.output).map(Ok),
            Rollout::Run(command) => Ok(Err(Online {
                command,
                folder: memory(global)?,
            })),
        }
    }
}

/// A command that calls nodes.
pub struct Online {
    command: run::Run,
    folder: PathBuf,
}

impl Online {
    /// Runs the command.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        self.command.run(session, &self.folder).await
    }
}

/// Returns the time of the client's clock.
fn now() -> Moment {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Moment::from_unix(since.as_secs())
}

/// Returns the directory of the newest versions of rollouts seen so far: next to the client config.
fn memory(global: &Global) -> anyhow::Result<PathBuf> {
    let file = config::path(global.config.as_deref())?;
    Ok(file.with_file_name("rollouts"))
}
