//! `bedplate upgrade`: upgrades nodes to another release.
//!
//! [`decide`] and [`order`] say what to do, from what nodes say of themselves; [`drive`] does it to one node, by a
//! [`call`], and says its [`outcome`]; [`roll`] does it to several in turn. [`source`] is where the bundle is, [`report`] shows
//! progress, [`subcommands`] are the other commands, and [`show`] formats results.

mod call;
pub(super) mod decide;
pub(super) mod drive;

mod describe;
mod order;
pub(super) mod outcome;
pub(super) mod report;
pub(super) mod roll;
mod show;
pub(super) mod source;
mod subcommands;

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::{StartUpgrade, UpgradeMode};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use futures::StreamExt as _;

use crate::address::Address;
use crate::fan_out::{self, NodeResponse};
use crate::session::{Session, Targets};
use crate::ui;
use drive::{Driver, Options};
use report::Report;
use source::{BundleFile, Source};

const EXAMPLES: &str = "\
Examples:
  Show what would be fetched and written, and any objections:
    bedplate upgrade --url https://example.org/node.bundle --plan
  Upgrade one node with a local bundle, and wait until it keeps the release:
    bedplate upgrade --bundle node.bundle --wait
  Upgrade three nodes, one after another:
    bedplate upgrade --url https://example.org/node.bundle -n a,b,c --parallel 1 --wait
  Show progress, and the outcome of past upgrades:
    bedplate upgrade status --follow
    bedplate upgrade history --log";

/// Upgrades nodes to another release.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_long_help = EXAMPLES)]
pub struct Upgrade {
    #[command(subcommand)]
    command: Option<UpgradeCommand>,
    #[command(flatten)]
    start: Start,
}

/// The other commands for upgrades.
#[derive(Debug, Subcommand)]
enum UpgradeCommand {
    /// Show the progress of upgrades, or the result of the last one.
    Status(subcommands::Status),
    /// Show the outcome of past upgrades, and why.
    History(subcommands::History),
    /// Cancel upgrades that are running, waiting or armed. The running system stays as it is.
    Cancel(subcommands::Cancel),
    /// Reboot nodes into the system that they ran before.
    ///
    /// The other slot becomes the preferred one, if it holds a system that was committed before and may still boot. A release
    /// that raised the lowest version that may boot cannot be rolled back to an older one.
    Rollback(subcommands::Rollback),
}

/// The options of an upgrade.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["url", "bundle"])))]
struct Start {
    /// URL from which the nodes fetch the bundle: http or https. They continue when this program ends.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Local bundle, of which this program sends the nodes what they need.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// When to reboot into the release.
    #[arg(short, long, value_enum, default_value_t)]
    mode: Mode,
    /// Do not reboot: the same as --mode staged.
    #[arg(long, conflicts_with = "mode")]
    no_reboot: bool,
    /// Override refusals, where that is possible. Requires the role admin.
    #[arg(long)]
    force: bool,
    /// Maximum download rate of each node, such as 2MB/s or 500KiB/s.
    #[arg(long, value_name = "RATE", value_parser = quantity::rate)]
    rate_limit: Option<NonZeroU64>,
    /// Only show what would be fetched and written, and any objections.
    #[arg(long)]
    plan: bool,
    /// Wait until the node is back, healthy, and keeps the release. Always on with several nodes.
    #[arg(long)]
    wait: bool,
    /// Number of nodes to upgrade at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Time limit of the whole upgrade of one node.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    patience: Duration,
}

/// When to reboot into the release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As soon as the release is written and verified.
    #[default]
    Now,
    /// With the next reboot, whatever its cause.
    Staged,
    /// In the next maintenance window of the machine config.
    Window,
}

impl Upgrade {
    /// Runs the command.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        match self.command {
            Some(UpgradeCommand::Status(command)) => command.run(session).await,
            Some(UpgradeCommand::History(command)) => command.run(session).await,
            Some(UpgradeCommand::Cancel(command)) => command.run(session).await,
            Some(UpgradeCommand::Rollback(command)) => command.run(session).await,
            None => self.start.run(session).await,
        }
    }
}

impl Start {
    async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let source = match (self.url, self.bundle) {
            (Some(url), _) => Source::Url(url),
            (None, Some(path)) => Source::File(Arc::new(BundleFile::open(&path)?)),
            (None, None) => anyhow::bail!("a bundle is required: use --url or --bundle"),
        };
        let addresses = addresses(&session).await?;
        let mode = match self.mode {
            _ if self.no_reboot => UpgradeMode::Staged,
            Mode::Now => UpgradeMode::Now,
            Mode::Staged => UpgradeMode::Staged,
            Mode::Window => UpgradeMode::Window,
        };
        let (goal, report) = (RefCell::new(source.goal()), Report::new(session.format));
        let driver = Driver {
            session: &session,
            source: &source,
            options: Options {
                request: StartUpgrade {
                    mode: mode.into(),
                    force: self.force,
                    rate_limit: self.rate_limit.map_or(0, NonZeroU64::get),
                    ..StartUpgrade::default()
                },
                wait: self.wait || addresses.len() > 1,
                patience: self.patience,
            },
            goal: &goal,
            report: &report,
        };
        report.note(&source.title());
        if self.plan {
            return plan(&driver, &addresses).await;
        }
        let work = async {
            let results = roll::roll(&driver, &addresses, self.parallel.into()).await?;
            roll::sum_up(&driver, &results, session.format)
        };
        roll::unless_stopped(&report, &source, work).await
    }
}

/// Shows every node's plan. Fails if a node would refuse the upgrade.
async fn plan(driver: &Driver<'_>, addresses: &[Address]) -> anyhow::Result<ExitCode> {
    let plans = addresses.iter().map(async |address: &Address| NodeResponse {
        node: address.clone(),
        result: driver.plan(address).await,
    });
    let responses: Vec<_> = futures::stream::iter(plans).buffered(8).collect().await;
    let code = fan_out::show(driver.session, &responses)?;
    let refused = responses.iter().any(|response| {
        let plan = response.result.as_ref().ok();
        plan.is_some_and(|plan| show::is_refused(plan, driver.options.request.force))
    });
    Ok(if refused { ExitCode::FAILURE } else { code })
}

/// Returns the addresses of the nodes, or the first endpoint that can be reached.
pub(super) async fn addresses(session: &Session) -> anyhow::Result<Vec<Address>> {
    match &session.targets {
        Targets::All(addresses) => {
            let mut several = addresses.clone();
            // Named twice, it would be upgraded twice.
            let mut seen = std::collections::HashSet::new();
            several.retain(|address| seen.insert(address.to_string()));
            Ok(several)
        }
        Targets::FirstOf(_) => match fan_out::dial(session).await.pop() {
            Some(NodeResponse { node, result: Ok(_) }) => Ok(vec![node]),
            Some(NodeResponse {
                result: Err(problem), ..
            }) => {
                ui::note(&problem.to_string());
                anyhow::bail!("no endpoint can be reached; select the nodes with --nodes")
            }
            None => anyhow::bail!("no nodes to upgrade: select them with --nodes"),
        },
    }
}
