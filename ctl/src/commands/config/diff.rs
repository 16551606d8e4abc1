//! `bedplate config diff`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use machine_config::MachineConfig;

use crate::cli;
use crate::commands::apply::read;
use crate::difference::{Difference, redacted};
use crate::fan_out::{NodeResponse, dial};
use crate::live_config::{LiveConfig, read_config};
use crate::options::Global;
use crate::session::Session;
use crate::ui::{self, Format};

/// Shows how a machine config differs from another one.
#[derive(Debug, Args)]
pub struct Diff {
    /// Config; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Config that FILE is compared with. If omitted, the config of the node is compared with FILE.
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,
}

/// The exit code if something differs, as those of `bedplate health` are neither success nor failure.
const DIFFERENT: u8 = 3;

impl Diff {
    /// Runs the command.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let Some(other) = &self.other else {
            return cli::with_session(global, async |session| self.run_with_node(session).await);
        };
        let difference = Difference::of(
            &self.file.display().to_string(),
            &load(&self.file)?,
            &other.display().to_string(),
            &load(other)?,
        )?;
        shown(&difference, global.output)
    }

    async fn run_with_node(&self, session: Session) -> anyhow::Result<ExitCode> {
        session.one_node("a file is compared with the config of one node")?;
        let mut new = load(&self.file)?;
        let node = dial(&session).await.into_iter().next();
        let NodeResponse { node, result } = node.context("no node to compare with")?;
        let LiveConfig {
            yaml,
            redacted: hidden,
            ..
        } = read_config(&session, &result?).await?;
        let old = match hidden {
            true => {
                ui::note("secrets were not compared: only admins see those of a node");
                new = redacted(&new.to_yaml())?;
                redacted(&yaml)?
            }
            false => machine_config::parse(&yaml)?,
        };
        let difference = Difference::of(&node.to_string(), &old, &self.file.display().to_string(), &new)?;
        shown(&difference, session.format)
    }
}

/// Reads a config. One in which secrets are redacted is taken as it is.
fn load(path: &Path) -> anyhow::Result<MachineConfig> {
    let parse = |text: &str| {
        machine_config::parse(text).or_else(|faults| match text.contains(machine_config::secret::REDACTED) {
            true => redacted(text).map_err(|_| faults),
            false => Err(faults),
        })
    };
    read(path)?
        .and_then(|text| parse(&text))
        .map_err(|faults| anyhow::anyhow!("{}", faults.in_file(&path.display().to_string()).trim_end()))
}

fn shown(difference: &Difference, format: Format) -> anyhow::Result<ExitCode> {
    match format {
        Format::Table => ui::write(difference.text().as_bytes())?,
        format => ui::value(format, difference)?,
    }
    Ok(match difference.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DIFFERENT),
    })
}
