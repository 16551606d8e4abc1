//! Shows Bedplate to a newcomer: a node, or a cluster.

mod cluster;
mod machine;

use std::time::Duration;

use anyhow::Result;

use crate::tools::Tool;

/// Shows a node that is built, flashed and booted; or a cluster of containers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The board; without it, the emulated board of the architecture
    #[arg(long)]
    board: Option<String>,
    /// The board's architecture
    #[arg(long, default_value = "arm64")]
    arch: String,
    /// Leave what is shown running
    #[arg(long)]
    keep: bool,
    /// Show a cluster of Podman containers
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    of: cluster::Args,
}

impl Args {
    /// Shows it.
    pub fn run(self) -> Result<()> {
        match self.cluster {
            true => self.of.run(self.keep),
            false => machine::run(self.board.as_deref(), &self.arch, self.keep),
        }
    }
}

/// Runs a command, and shows it with what it prints.
fn show(typed: &str, command: &Tool) -> Result<()> {
    Ok(stdio::line(format_args!("$ {typed}\n{}", command.run()?))?)
}

/// Leaves everything as it is until Ctrl-C.
fn keep() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn say(what: &str) {
    // Progress may be lost; a demonstration goes on.
    stdio::line(format_args!("demo: {what}")).ok();
}
