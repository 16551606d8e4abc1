//! `bedplate config`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use pki::Moment;

use super::apply::read;
use crate::ui;

/// Validates machine configs.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Validate machine configs, and list all errors at once.
    Validate(Validate),
}

/// Validates machine configs.
#[derive(Debug, Args)]
pub struct Validate {
    /// Files to validate; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Config {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Validate(validate) = self;
        let mut code = ExitCode::SUCCESS;
        let now = Moment::of_host(SystemTime::now());
        for file in &validate.files {
            let name = file.display().to_string();
            match read(file)?.and_then(|text| pki::parse_config(&text, now)) {
                Ok(config) => {
                    let role = config.machine.role;
                    let role = machine_config::v1alpha1::Role::ALL
                        .iter()
                        .find(|(_, known)| *known == role);
                    ui::line(&format!(
                        "{name}: valid, role {}",
                        role.map_or("", |(word, _)| *word)
                    ))?;
                }
                Err(faults) => {
                    ui::write(faults.in_file(&name).as_bytes())?;
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
