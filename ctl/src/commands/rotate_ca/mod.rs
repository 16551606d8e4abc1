//! `bedplate rotate-ca`.
//!
//! [`plan`] decides what is changed next, [`authorities`] changes it, [`observe`] tells when a node has followed, [`drive`] does
//! it all in turn.

mod authorities;
mod drive;
mod observe;
mod plan;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::confirm::confirm;
use crate::options::Global;
use crate::ui::{self, Format, Table};
use drive::{Driver, Start};
use plan::{Phase, Which};

/// Replaces the certificate authorities of a cluster.
#[derive(Debug, Args)]
pub struct RotateCa {
    /// Authorities to replace; all of the cluster if omitted.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "AUTHORITY,…")]
    only: Vec<Which>,
    /// File that keeps the cluster's secrets with the new authorities. If it exists, the rotation to what is in it goes on.
    #[arg(long, value_name = "FILE", default_value = "rotated-secrets.yaml")]
    secrets: PathBuf,
    /// Kubeconfig to renew on the way, so that it works all the time.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Stop after a phase, to bring other clients along; the same command without it goes on.
    #[arg(long, value_enum, value_name = "PHASE")]
    stop_after: Option<Phase>,
    /// How long pods have to learn of the new authority of Kubernetes before it signs.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = quantity::time)]
    settle: Duration,
    /// How long a node may take to follow a change.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = quantity::time)]
    wait: Duration,
    /// Only show what would be changed.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
}

/// A change, as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// The node, or the client config.
    party: String,
    /// The authorities, each with its phase.
    changes: std::collections::BTreeMap<Which, Phase>,
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// The file with the new authorities.
    secrets: String,
    /// Set when nothing was changed on purpose.
    dry_run: bool,
    /// Set when no change is left.
    complete: bool,
    changes: Vec<Change>,
}

impl RotateCa {
    /// Rotates on all nodes of the cluster, and prints what was done.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .context("cannot start the async runtime")?
            .block_on(self.rotate(global))
    }

    async fn rotate(self, global: &Global) -> anyhow::Result<ExitCode> {
        let only = if self.only.is_empty() {
            Which::ALL.to_vec()
        } else {
            self.only
        };
        let start = Start {
            only,
            secrets: self.secrets.clone(),
            kubeconfig: self.kubeconfig,
            last: self.stop_after.unwrap_or(Phase::Drop),
            settle: self.settle,
            wait: self.wait,
        };
        let mut driver = Driver::begin(global, start).await?;
        let changes = driver.left()?;
        let file = self.secrets.display().to_string();
        let mut summary = Summary {
            secrets: file.clone(),
            dry_run: self.dry_run,
            complete: changes.is_empty(),
            changes,
        };
        if self.dry_run || summary.changes.is_empty() {
            show(global.output, &summary)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (names, nodes) = driver.names();
        confirm(
            &format!(
                "rotate the authorities {names} of {nodes}, in {} steps",
                summary.changes.len()
            ),
            self.yes,
        )?;
        driver.keep_secrets()?;
        let done = driver.run().await;
        done.with_context(|| {
            format!("the rotation is not complete: everybody still trusts everybody; run the same command again to go on with {file}")
        })?;
        summary.complete = driver.is_complete()?;
        show(global.output, &summary)?;
        if global.output == Format::Table {
            ui::note(&after(&summary));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what is left to people.
fn after(summary: &Summary) -> String {
    match summary.complete {
        true => format!(
            "{0} holds the secrets of the cluster from now on: keep it in place of the old file, and generate the configs of new nodes and of other clients from it",
            summary.secrets
        ),
        false => format!(
            "stopped on purpose: give other clients new files, then run the command again without --stop-after; keep {} until then",
            summary.secrets
        ),
    }
}

fn show(format: Format, summary: &Summary) -> anyhow::Result<()> {
    if format != Format::Table {
        return ui::value(format, summary);
    }
    if summary.changes.is_empty() {
        return ui::line(&format!(
            "nothing to do: the authorities in {} are the only ones; for another rotation name another file with --secrets",
            summary.secrets
        ));
    }
    let mut table = Table::default();
    table.headings(&["STEP", "PHASE", "ON", "AUTHORITIES"]);
    for (number, change) in summary.changes.iter().enumerate() {
        let phases: std::collections::BTreeSet<&str> =
            change.changes.values().map(|phase| phase.name()).collect();
        let which: Vec<&str> = change.changes.keys().map(|which| which.name()).collect();
        table.row([
            (number + 1).to_string(),
            phases.into_iter().collect::<Vec<_>>().join(" "),
            change.party.clone(),
            which.join(" "),
        ]);
    }
    ui::write(table.draw().as_bytes())
}
