//! The command line: which task, with which options.

use clap::{Parser, Subcommand};

use crate::{lint, nodes, setup};

/// Developer tasks of Bedplate.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Setup(setup::Args),
    Lint(lint::Args),
    BuildNodes(nodes::Args),
}

impl Args {
    /// Runs the task that was asked for.
    pub fn run(self) -> anyhow::Result<()> {
        match self.task {
            Task::Setup(args) => args.run(),
            Task::Lint(args) => args.run(),
            Task::BuildNodes(args) => args.run(),
        }
    }
}
