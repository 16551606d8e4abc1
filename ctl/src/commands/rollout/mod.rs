//! `bedplate rollout`: a release for a fleet, wave by wave.
//!
//! The document and every decision are in the crate `rollout`. [`write`] are the commands that make, sign and look at one,
//! [`read`] finds the newest version of it, [`run`] brings the release to nodes.

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

/// What `--help` shows last.
pub const EXAMPLES: &str = "\
Examples:
  Make and sign one, with the key that signs releases:
    bedplate rollout new rpi4-0.2.0 --url https://example.org/rpi4.bundle --pause 2h
    bedplate rollout sign rollout.json --key bedplate.key
  Let nodes that follow it begin by themselves, the second wave two hours after the first:
    bedplate rollout new rpi4-0.2.0 --url https://example.org/rpi4.bundle --pause 2h \\
        --begins $(date -u -d tomorrow +%FT%TZ) --ends $(date -u -d '1 week' +%FT%TZ)
  Which node is in which wave:
    bedplate rollout run rollout.json --key bedplate.pub -n a,b,c --plan
  Go through the waves; the same command goes on where it was interrupted:
    bedplate rollout run https://example.org/rollout.json --key bedplate.pub -n a,b,c
  Keep further nodes from beginning; publish both files afterwards:
    bedplate rollout stop rollout.json --reason 'boards of batch 7' --key bedplate.key";

/// Brings a release to a fleet.
#[derive(Debug, Subcommand)]
pub enum Rollout {
    #[command(flatten)]
    Write(write::Write),
    /// Bring a rollout's release to nodes, wave by wave.
    ///
    /// A node's place in the order comes from the rollout's seed and the node's hostname. Nodes that run the release are
    /// passed over, so the same command goes on where another run ended. Before each node the document is read anew: one
    /// that was stopped lets no further node begin. An older version than one that was seen before is refused.
    ///
    /// The time at which nodes begin that follow by themselves does not hold this command back: a person drives.
    Run(run::Run),
}

impl Rollout {
    /// Does what needs no node, if that was typed; gives the command back if it does.
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

/// A command that talks to nodes.
pub struct Online {
    command: run::Run,
    folder: PathBuf,
}

impl Online {
    /// Does it.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        self.command.run(session, &self.folder).await
    }
}

/// Returns the time, by the client's clock.
fn now() -> Moment {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Moment::from_unix(since.as_secs())
}

/// Returns where the newest versions of rollouts are kept that were seen: beside the client's file.
fn memory(global: &Global) -> anyhow::Result<PathBuf> {
    let file = config::path(global.config.as_deref())?;
    Ok(file.with_file_name("rollouts"))
}
