//! `bedplate completions`.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::ui;

/// Prints a completion script.
#[derive(Debug, Args)]
pub struct Completions {
    /// Shell to generate the script for, as in: bedplate completions bash > /etc/bash_completion.d/bedplate
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script for a command line.
    pub fn run(self, command: &mut Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "bedplate", &mut script);
        ui::write(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
