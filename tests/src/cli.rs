//! The command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workshop::Workshop;
use crate::{bench, demo, scenario, tools};

/// End-to-end tests of Bedplate.
#[derive(Debug, Parser)]
#[command(name = "e2e", version)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios
    Run {
        /// Only those whose name contains one of these
        names: Vec<String>,
    },
    /// List the scenarios
    List,
    Demo(demo::Args),
    Bench(bench::Args),
}

impl Args {
    /// Does what was asked.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Run { names } => scenario::run(&Workshop::new(tools::target().join("e2e"))?, &names),
            Command::Demo(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::List => scenario::list(),
        }
    }
}
