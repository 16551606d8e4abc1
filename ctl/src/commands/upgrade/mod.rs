//! `bedplate upgrade`: brings nodes to another release.
//!
//! [`decide`] and [`order`] say what to do, from what nodes say of themselves; [`drive`] does it to one node, by a
//! [`call`], and says its [`outcome`]; [`roll`] does it to several in turn. [`source`] is where the bundle is, [`report`] shows
//! progress, [`look`] are the commands that only look, and [`show`] how answers are shown.

mod call;
pub(super) mod decide;
pub(super) mod drive;
mod look;
mod order;
pub(super) mod outcome;
pub(super) mod report;
pub(super) mod roll;
mod show;
pub(super) mod source;
mod words;

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::v1alpha1::UpgradeMode;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use futures::StreamExt as _;

use crate::address::Address;
use crate::fan::{self, Answer};
use crate::session::{Session, Targets};
use crate::ui;
use drive::{Driver, Options};
use report::Report;
use source::{BundleFile, Source};

const EXAMPLES: &str = "\
Examples:
  What would be fetched and written, and what speaks against it:
    bedplate upgrade --url https://example.org/rpi4.bundle --plan
  One node, with a bundle that lies here; returns when the node keeps the release:
    bedplate upgrade --bundle rpi4.bundle --wait
  Three nodes, one after the other:
    bedplate upgrade --url https://example.org/rpi4.bundle -n a,b,c --parallel 1 --wait
  How it fares, and what became of it:
    bedplate upgrade status --follow
    bedplate upgrade history --log";

/// Brings nodes to another release.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_long_help = EXAMPLES)]
pub struct Upgrade {
    #[command(subcommand)]
    look: Option<Look>,
    #[command(flatten)]
    what: What,
}

/// What else there is to do with upgrades.
#[derive(Debug, Subcommand)]
enum Look {
    /// Show how upgrades fare, or how the last one ended.
    Status(look::Status),
    /// Show what became of past upgrades, and why.
    History(look::History),
    /// End upgrades that run, wait or are armed. What runs stays as it is.
    Cancel(look::Cancel),
    /// Restart nodes into the system they ran before.
    ///
    /// The other slot becomes the preferred one, if it holds a system that was kept once and may still boot. A release that
    /// raised the lowest version that may boot cannot be gone back behind.
    Rollback(look::Rollback),
}

/// What to bring, and how.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["url", "bundle"])))]
struct What {
    /// Where the nodes fetch the bundle: http or https. They go on when this program ends.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A bundle here: the nodes fetch what they want of it through this program.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// When nodes restart into the release.
    #[arg(short, long, value_enum, default_value_t)]
    mode: Mode,
    /// Do not restart: the same as --mode staged.
    #[arg(long, conflicts_with = "mode")]
    no_reboot: bool,
    /// Go on in spite of refusals that can be overridden. Needs the role admin.
    #[arg(long)]
    force: bool,
    /// Fetch no faster than this, for each node, as 2MB/s or 500KiB/s.
    #[arg(long, value_name = "RATE", value_parser = quantity::rate)]
    rate_limit: Option<NonZeroU64>,
    /// Only show what would be fetched and written, and what speaks against it.
    #[arg(long)]
    plan: bool,
    /// Wait until the node is back, healthy, and keeps the release. Several nodes are always waited for.
    #[arg(long)]
    wait: bool,
    /// Nodes that are upgraded at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// How long one node may take for all of it.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    patience: Duration,
}

/// When nodes restart into the release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As soon as all of it is written and proved.
    #[default]
    Now,
    /// With the next restart, whoever asks for it.
    Staged,
    /// In the next maintenance window of the machine config.
    Window,
}

impl Upgrade {
    /// Does what was typed.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        match self.look {
            Some(Look::Status(command)) => command.run(session).await,
            Some(Look::History(command)) => command.run(session).await,
            Some(Look::Cancel(command)) => command.run(session).await,
            Some(Look::Rollback(command)) => command.run(session).await,
            None => self.what.run(session).await,
        }
    }
}

impl What {
    async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        let source = match (self.url, self.bundle) {
            (Some(url), _) => Source::Url(url),
            (None, Some(path)) => Source::File(Arc::new(BundleFile::open(&path)?)),
            (None, None) => anyhow::bail!("a bundle is needed: --url or --bundle"),
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
                mode,
                force: self.force,
                rate_limit: self.rate_limit.map_or(0, NonZeroU64::get),
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
            let rans = roll::roll(&driver, &addresses, self.parallel.into()).await?;
            roll::sum_up(&driver, &rans, session.format)
        };
        roll::unless_stopped(&report, &source, work).await
    }
}

/// Shows every node's plan; fails if one would refuse.
async fn plan(driver: &Driver<'_>, addresses: &[Address]) -> anyhow::Result<ExitCode> {
    let plans = addresses.iter().map(async |address: &Address| Answer {
        node: address.clone(),
        result: driver.plan(address).await,
    });
    let answers: Vec<_> = futures::stream::iter(plans).buffered(8).collect().await;
    let code = fan::show(driver.session, &answers)?;
    let refused = answers.iter().any(|answer| {
        let plan = answer.result.as_ref().ok();
        plan.is_some_and(|plan| show::is_refused(plan, driver.options.force))
    });
    Ok(if refused { ExitCode::FAILURE } else { code })
}

/// Returns the nodes one by one; of endpoints, the first that can be reached.
pub(super) async fn addresses(session: &Session) -> anyhow::Result<Vec<Address>> {
    match &session.targets {
        Targets::All(addresses) => {
            let mut several = addresses.clone();
            // Named twice, it would be upgraded twice.
            let mut seen = std::collections::HashSet::new();
            several.retain(|address| seen.insert(address.to_string()));
            Ok(several)
        }
        Targets::FirstOf(_) => match fan::dial(session).await.pop() {
            Some(Answer { node, result: Ok(_) }) => Ok(vec![node]),
            Some(Answer {
                result: Err(problem), ..
            }) => {
                ui::note(&problem.to_string());
                anyhow::bail!("no endpoint can be reached; name the nodes by --nodes")
            }
            None => anyhow::bail!("no node is given: name some by --nodes"),
        },
    }
}
