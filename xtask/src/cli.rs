//! The command line: which task, with which options.

use clap::{Parser, Subcommand};

use crate::{build, e2e, fuzz, lint, lock, setup, test};

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
    Demo(e2e::Demo),
    Test(test::Args),
    E2e(e2e::Args),
    Fuzz(fuzz::Args),
    Lint(lint::Args),
    Lock(lock::Args),
    Bench(e2e::Bench),
    Build(build::Args),
}

impl Args {
    /// Runs the task that was asked for.
    pub fn run(self) -> anyhow::Result<()> {
        match self.task {
            Task::Setup(args) => args.run(),
            Task::Demo(args) => args.run(),
            Task::Test(args) => args.run(),
            Task::E2e(args) => args.run(),
            Task::Fuzz(args) => args.run(),
            Task::Lint(args) => args.run(),
            Task::Lock(args) => args.run(),
            Task::Bench(args) => args.run(),
            Task::Build(args) => args.run(),
        }
    }
}
