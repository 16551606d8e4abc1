//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::workshop::Workshop;
use crate::{bench, demo, metadata, pace, run, tools};

/// End-to-end tests of Bedplate.
#[derive(Debug, Parser)]
#[command(name = "e2e", version)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios, side by side
    Run(run::Args),
    /// Run one scenario in this process, as a part of a run
    #[command(hide = true)]
    Scenario {
        /// Its name
        name: String,
        /// Machines that it may have on at a time
        #[arg(long)]
        machines: usize,
        /// What limits are stretched to, in percent
        #[arg(long)]
        pace: u32,
    },
    /// Answer one request for metadata of a cloud, for an emulator
    #[command(hide = true, name = metadata::COMMAND)]
    AnswerMetadata {
        /// The folder with the files
        folder: PathBuf,
    },
    /// List the scenarios
    List,
    Demo(demo::Args),
    Bench(bench::Args),
}

impl Args {
    /// Does what was asked.
    pub fn run(self) -> Result<()> {
        let folder = tools::target().join("e2e");
        match self.command {
            Command::Run(args) => args.run(&Workshop::new(folder)?),
            Command::Scenario { name, machines, pace } => {
                pace::set(pace)?;
                let scenario =
                    run::scenario(&name).with_context(|| format!("no scenario is called {name}"))?;
                scenario.run(&Workshop::join(folder), machines)
            }
            Command::Demo(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::AnswerMetadata { folder } => metadata::answer(&folder),
            Command::List => run::list(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
