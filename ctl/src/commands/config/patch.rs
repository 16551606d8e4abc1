//! `bedplate config patch`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::commands::apply::{How, read};
use crate::difference::Difference;
use crate::fan_out::{NodeResponse, dial, show};
use crate::live_config::{apply_changed, read_config};
use crate::options::Global;
use crate::patches::Patches;
use crate::session::Session;
use crate::{cli, ui, user_file};

/// Changes machine configs by patches.
#[derive(Debug, Args)]
pub struct PatchConfig {
    /// Config to patch; - is standard input. If omitted, the configs of the nodes are patched.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Patch: @FILE, or the patch itself. Several are applied in their order.
    #[arg(short, long, required = true, value_name = "PATCH")]
    patch: Vec<String>,
    /// Write the patched config back to FILE.
    #[arg(short, long, requires = "file")]
    in_place: bool,
    #[command(flatten)]
    how: How,
}

impl PatchConfig {
    /// Runs the command.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let patches = Patches::load(&self.patch)?;
        match &self.file {
            Some(_) => self.run_on_file(&patches),
            None => cli::with_session(global, async |session| self.run_on_nodes(session, &patches).await),
        }
    }

    fn run_on_file(&self, patches: &Patches) -> anyhow::Result<ExitCode> {
        let Some(file) = &self.file else {
            return Ok(ExitCode::SUCCESS);
        };
        let name = file.display().to_string();
        let old = read(file)?.map_err(|faults| anyhow::anyhow!("{}", faults.in_file(&name).trim_end()))?;
        let new = patches.apply(&name, &old)?;
        if self.how.dry_run {
            let parse = |text: &str| {
                machine_config::parse(text)
                    .or_else(|faults| crate::difference::redacted(text).map_err(|_| faults))
            };
            let difference = Difference::of(&name, &parse(&old)?, "patched", &parse(&new)?)?;
            ui::write(difference.text().as_bytes())?;
        } else if self.in_place {
            anyhow::ensure!(
                name != "-",
                "standard input cannot be written back; leave out --in-place"
            );
            user_file::replace(file, &new, 0o600)?;
        } else {
            ui::write(new.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn run_on_nodes(&self, session: Session, patches: &Patches) -> anyhow::Result<ExitCode> {
        let mut responses = Vec::new();
        // One after the other: what goes wrong on one should not go wrong on all at once.
        for NodeResponse { node, result } in dial(&session).await {
            let result = match result {
                Err(problem) => Err(problem),
                Ok(connected) => match read_config(&session, &connected).await {
                    Err(problem) => Err(problem),
                    Ok(current) => match patches.apply(&node.to_string(), &current.yaml) {
                        Err(error) => Err(crate::explain::Problem::new(ui::chain(error.as_ref()))),
                        Ok(text) => {
                            let request = self.how.request(&text, current.revision);
                            apply_changed(&session, &connected, request)
                                .await
                                .map_err(|failure| failure.problem)
                        }
                    },
                },
            };
            responses.push(NodeResponse { node, result });
        }
        show(&session, &responses)
    }
}
