//! Commands of `bedplate-image`. Results go to standard output, progress to standard error.

mod build;
mod check;
mod container;
mod containers;
mod keys;
mod kubernetes;
mod lists;
mod lock;
mod places;
mod rebuild;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

pub use places::Places;

/// Builds Bedplate images: one signed bundle per board and version.
#[derive(Debug, Parser)]
#[command(name = "bedplate-image", version)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// How results are written.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Do not tell what is being done.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(flatten)]
    pub places: Places,
}

/// The form in which results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the signed bundle of a board.
    Build(build::Build),
    /// Build a container image with a board's root file system, for Podman: a node without a machine of its own.
    Container(container::Container),
    /// Take images apart with tools that are not ours.
    Check(check::Check),
    /// Make signing keys.
    Keys(keys::Keys),
    /// List the boards that can be built.
    Boards(lists::Boards),
    /// List the overlays that can be added.
    Overlays(lists::Overlays),
    /// Print the JSON Schema of board, overlay or module list files, for editors.
    Schema(lists::Schema),
    /// Update the lock file: the exact versions of all packages.
    Lock(lock::Renew),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let global = self.global;
        match self.command {
            Command::Build(build) => build.run(&global),
            Command::Container(container) => container.run(&global),
            Command::Check(check) => check.run(&global),
            Command::Keys(keys) => keys.run(&global),
            Command::Boards(boards) => boards.run(&global),
            Command::Overlays(overlays) => overlays.run(&global),
            Command::Schema(schema) => schema.run(),
            Command::Lock(lock) => lock.run(&global),
            Command::Completions { shell } => {
                let mut command = Cli::command();
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command, "bedplate-image", &mut script);
                stdio::write(&script)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
