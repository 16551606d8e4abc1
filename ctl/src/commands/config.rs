//! `bedplate config`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use pki::Moment;

use super::apply::read;
use crate::ui;

/// Checks machine configs.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check machine configs, and list every fault at once.
    Validate(Validate),
}

/// Checks machine configs.
#[derive(Debug, Args)]
pub struct Validate {
    /// The files; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Config {
    /// Does it.
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
                        "{name}: valid, of role {}",
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
