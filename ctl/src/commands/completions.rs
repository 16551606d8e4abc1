//! `bedplate completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ui;

/// Prints a completion script.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell; for bash: bedplate completions bash > /etc/bash_completion.d/bedplate
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bedplate", &mut script);
        ui::write(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
