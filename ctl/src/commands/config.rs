//! `bedplate config`.

mod diff;
mod patch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use pki::Moment;

use super::apply::read;
use crate::options::Global;
use crate::ui;

/// Validates, patches and compares machine configs.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Validate machine configs, and list all errors at once.
    Validate(Validate),
    /// Change machine configs by patches: those of files, or those of nodes.
    ///
    /// A patch whose document is a map is merged into the config: maps key by key, items of lists by their name, other items
    /// are added. `$patch: delete` in a map removes it, `$patch: replace` puts it in the place of what was there. A patch whose
    /// document is a list is a JSON patch (RFC 6902).
    ///
    /// With FILE, the patched config is printed, or written back with --in-place. Comments stay with what they are about.
    /// Without FILE, the config of each node is read, patched and applied. A node refuses it if its config was changed
    /// meanwhile.
    Patch(patch::PatchConfig),
    /// Show how a machine config differs from another one, or from that of a node.
    ///
    /// Configs are compared, not texts: comments and the order of fields do not count. Secrets are redacted; those that differ
    /// are named. Exits with 0 if nothing differs, with 3 if something does, and with 1 if they could not be compared.
    Diff(diff::Diff),
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
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Validate(validate) => validate.run(),
            Self::Patch(patch) => patch.run(global),
            Self::Diff(diff) => diff.run(global),
        }
    }
}

impl Validate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        let now = Moment::of_host(SystemTime::now());
        for file in &self.files {
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
