//! `bedplate workload`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::apply::read;
use super::logs::Logs;
use super::workloads;
use crate::options::Global;
use crate::session::Session;
use crate::ui::{self, Format};
use crate::user_file;
use compose::{Left, Options, Translation, translate};

/// Controls workloads, and translates Compose files.
#[derive(Debug, Subcommand)]
pub enum Workload {
    /// Start a stopped workload.
    Start(Name),
    /// Stop a workload until it is started again or the node reboots.
    Stop(Name),
    /// Stop and start a workload.
    Restart(Name),
    /// Show what a workload prints.
    Logs(Logs),
    /// Translate a Compose file to `workloads` of the machine config.
    ///
    /// Prints the workloads as YAML, and on standard error each key that has no translation, with its line and the reason.
    /// Compose files with anchors, `extends`, `env_file` or `include` are resolved by `docker compose config` first.
    Import(Import),
}

/// Translates a Compose file.
#[derive(Debug, Args)]
pub struct Import {
    /// The Compose file; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Value of a variable that the file names; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    /// The images are part of the system image (`bedplate-image build --container`), instead of coming from registries.
    #[arg(long)]
    bundled: bool,
    /// Fail, and print no workloads, when something has no translation.
    #[arg(long)]
    strict: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    workloads: &'a [machine_config::v1alpha1::Workload],
    left: &'a [Left],
}

/// The name of a workload.
#[derive(Debug, Args)]
pub struct Name {
    /// Name of the workload, as the machine config has it.
    name: String,
}

impl Workload {
    /// Runs what calls no node; returns the command if it does call some.
    pub fn offline(self, global: &Global) -> anyhow::Result<Result<ExitCode, Self>> {
        match self {
            Self::Import(import) => import.run(global).map(Ok),
            other => Ok(Err(other)),
        }
    }

    /// Runs the command.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        match self {
            Self::Start(name) => workloads::act(session, workloads::Act::Start, name.name).await,
            Self::Stop(name) => workloads::act(session, workloads::Act::Stop, name.name).await,
            Self::Restart(name) => workloads::act(session, workloads::Act::Restart, name.name).await,
            Self::Logs(logs) => logs.of_workload().run(session).await,
            Self::Import(_) => Ok(ExitCode::SUCCESS),
        }
    }
}

impl Import {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let options = Options {
            variables: self.set.into_iter().collect::<BTreeMap<_, _>>(),
            bundled: self.bundled,
        };
        let name = self.file.display().to_string();
        let text = read(&self.file)?.map_err(|faults| anyhow::anyhow!("{}", faults.in_file(&name)))?;
        let translation: Translation = user_file::parse(&self.file, &text, |text| translate(text, &options))?;
        for left in &translation.left {
            ui::note(&format!("{name}:{}: {}: {}", left.line, left.path, left.reason));
        }
        if self.strict && !translation.left.is_empty() {
            anyhow::bail!("{name} has {} keys without a translation", translation.left.len());
        }
        match global.output {
            Format::Table => ui::write(yaml::to_string(&translation)?.as_bytes())?,
            format => ui::value(
                format,
                &Report {
                    workloads: &translation.workloads,
                    left: &translation.left,
                },
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
