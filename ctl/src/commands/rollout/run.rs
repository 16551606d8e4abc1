//! `bedplate rollout run`.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api::v1alpha1::machine_service_client::MachineServiceClient;
use api::v1alpha1::{StartUpgrade, StatusRequest, UpgradeMode};
use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rollout::{Halt, Member, Next, Rollout, Turn, Wait, next, position};
use signing::load_public;
use tokio::time::{Instant, sleep};

use super::now;
use super::read::{Document, Web, remember};
use crate::address::Address;
use crate::commands::upgrade::decide::Goal;
use crate::commands::upgrade::drive::{Driver, Options};
use crate::commands::upgrade::outcome::Outcome;
use crate::commands::upgrade::report::Report;
use crate::commands::upgrade::roll::{self, NodeResult, command_line, report_result};
use crate::commands::upgrade::source::Source;
use crate::fan_out::{NodeResponse, call_all};
use crate::session::{Session, Targets};
use crate::ui::{self, Format, Table, duration};

/// Interval at which the document is read again during a pause.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Upgrades nodes to a rollout's release.
#[derive(Debug, Args)]
pub struct Run {
    /// File or URL of the document. Its signatures are next to it, with the suffix .minisig.
    #[arg(value_name = "FILE|URL")]
    source: String,
    /// Trusted public keys.
    #[arg(long = "key", value_name = "FILE.pub", required = true)]
    keys: Vec<PathBuf>,
    /// Only show which node is in which wave.
    #[arg(long)]
    plan: bool,
    /// Number of nodes of a wave to upgrade at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Maximum download rate of each node, such as 2MB/s or 500KiB/s.
    #[arg(long, value_name = "RATE", value_parser = quantity::rate)]
    rate_limit: Option<NonZeroU64>,
    /// Time limit of the whole upgrade of one node.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    patience: Duration,
    #[command(flatten)]
    web: Web,
}

/// A node of the fleet.
struct Node {
    address: Address,
    name: String,
    position: u16,
    member: Member,
    ran: Option<NodeResult>,
}

impl Run {
    /// Determines the nodes' waves, then upgrades wave by wave.
    pub async fn run(self, session: Session, memory: &Path) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            matches!(session.targets, Targets::All(_)),
            "select the nodes of the fleet with --nodes: an endpoint is only one of them"
        );
        let keys = self.keys.iter().map(|path| load_public(path));
        let document = Document {
            source: self.source,
            keys: keys.collect::<Result<_, _>>()?,
            web: self.web,
        };
        let rollout = (*document.read().await?).clone();
        remember(memory, &rollout)?;
        let report = Report::new(session.format);
        let (mut nodes, absent) = fleet(&session, &report, &rollout).await?;
        if self.plan {
            show_plan(&nodes, &rollout, session.format)?;
            return Ok(if absent == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        let mut fleet = Fleet {
            session: &session,
            report: &report,
            document: &document,
            memory,
            rollout,
            options: Options {
                request: StartUpgrade {
                    mode: UpgradeMode::Now.into(),
                    rate_limit: self.rate_limit.map_or(0, NonZeroU64::get),
                    ..StartUpgrade::default()
                },
                wait: true,
                patience: self.patience,
            },
            parallel: self.parallel.into(),
        };
        let source = Source::Url(fleet.rollout.bundle.url.clone());
        let work = async {
            let halt = fleet.go(&mut nodes).await?;
            sum_up(&fleet, &nodes, absent, halt)
        };
        roll::unless_stopped(&report, &source, work).await
    }
}

/// Calls every node for its hostname, and sorts the nodes. Also returns the number of nodes that could not be called.
async fn fleet(session: &Session, report: &Report, rollout: &Rollout) -> anyhow::Result<(Vec<Node>, usize)> {
    let responses = call_all(session, |node| async {
        MachineServiceClient::new(node.channel)
            .status(StatusRequest {})
            .await
    })
    .await;
    let (mut nodes, mut absent): (Vec<Node>, usize) = (Vec::new(), 0);
    for NodeResponse { node, result } in responses {
        let status = match result {
            Ok(status) => status,
            Err(problem) => {
                report.note(&format!("skipped: {problem}"));
                absent += 1;
                continue;
            }
        };
        if status.board != rollout.bundle.board {
            report.note(&format!(
                "skipped: the board of {node} is {}, but the release is for {}",
                status.board, rollout.bundle.board
            ));
            continue;
        }
        if let Some(twin) = nodes.iter().find(|other| other.name == status.hostname) {
            anyhow::bail!(
                "{node} and {} have the same hostname {:?}: give each node its own",
                twin.address,
                status.hostname
            );
        }
        nodes.push(Node {
            position: position(&rollout.seed, &status.hostname),
            member: Member {
                wave: rollout.wave(&status.hostname),
                turn: Turn::Pending,
            },
            name: status.hostname,
            address: node,
            ran: None,
        });
    }
    nodes.sort_by_key(|node| node.position);
    Ok((nodes, absent))
}

/// A run of a rollout.
struct Fleet<'a> {
    session: &'a Session,
    report: &'a Report,
    document: &'a Document,
    memory: &'a Path,
    rollout: Rollout,
    options: Options,
    parallel: usize,
}

impl<'a> Fleet<'a> {
    /// Runs until the end; returns the reason if the rollout was halted.
    async fn go(&mut self, nodes: &mut [Node]) -> anyhow::Result<Option<Halt>> {
        let mut running = FuturesUnordered::new();
        let mut paused = None;
        loop {
            let members: Vec<Member> = nodes.iter().map(|node| node.member).collect();
            match next(&self.rollout, &members, self.parallel, paused) {
                Next::Begin(number) => {
                    if self.reload().await {
                        continue;
                    }
                    let node = &mut nodes[number];
                    node.member.turn = Turn::Running;
                    let upgrade = self.upgrade(node.address.clone());
                    running.push(async move { (number, upgrade.await) });
                }
                Next::Wait => {
                    let Some((number, ran)) = running.next().await else {
                        anyhow::bail!(
                            "no upgrade is running, though one is waited for: this is a bug in this program"
                        );
                    };
                    report_result(self.report, &RefCell::new(goal(&self.rollout)), &ran)?;
                    let node = &mut nodes[number];
                    node.member.turn = match &ran.result {
                        Some(Ok(Outcome::Already)) => Turn::Already,
                        Some(Ok(_)) => Turn::Upgraded,
                        _ => Turn::Failed,
                    };
                    node.ran = Some(ran);
                }
                Next::Pause(wave) => {
                    self.pause(wave).await;
                    paused = Some(wave);
                }
                Next::Halt(halt) => return Ok(Some(halt)),
                Next::End => return Ok(None),
            }
        }
    }

    /// Reads the document again; returns whether it has changed. If that fails, no further node starts.
    async fn reload(&mut self) -> bool {
        let read = async {
            let fresh = self.document.read().await?;
            fresh
                .follows(&self.rollout)
                .context("the document that is published now cannot replace it")?;
            remember(self.memory, &fresh)?;
            Ok::<Rollout, anyhow::Error>((*fresh).clone())
        };
        let (fresh, held) = match read.await {
            Ok(fresh) => {
                let ended = fresh.ended(now());
                (fresh, ended.map(|ends| Wait::Ended(ends).to_string()))
            }
            Err(error) => {
                let why = ui::chain(error.as_ref());
                let held = format!("the document cannot be read again: {why}");
                (self.rollout.clone(), Some(held))
            }
        };
        let fresh = match held {
            Some(reason) => Rollout {
                stopped: true,
                reason,
                ..fresh
            },
            None => fresh,
        };
        let changed = fresh != self.rollout;
        self.rollout = fresh;
        changed
    }

    /// Waits for the pause before a wave, unless the rollout is stopped in the meantime.
    async fn pause(&mut self, wave: usize) {
        let started = Instant::now();
        self.report.note(&format!(
            "wave {} starts in {}",
            wave + 1,
            duration(self.rollout.pause())
        ));
        while !self.rollout.stopped {
            // The pause itself may have changed.
            let left = self.rollout.pause().saturating_sub(started.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left.min(POLL_INTERVAL)).await;
            self.reload().await;
        }
    }

    /// Upgrades one node to the release of the current document.
    fn upgrade(&self, address: Address) -> impl Future<Output = NodeResult> + use<'a> {
        let (session, report, options) = (self.session, self.report, self.options.clone());
        let source = Source::Url(self.rollout.bundle.url.clone());
        let goal = RefCell::new(goal(&self.rollout));
        async move {
            let driver = Driver {
                session,
                source: &source,
                options,
                goal: &goal,
                report,
            };
            roll::upgrade_one(&driver, &address).await
        }
    }
}

fn goal(rollout: &Rollout) -> Goal {
    Goal {
        version: rollout.bundle.version.to_string(),
        manifest: rollout.bundle.manifest.to_string(),
    }
}

fn show_plan(nodes: &[Node], rollout: &Rollout, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        let rows: Vec<_> = nodes
            .iter()
            .map(|node| {
                serde_json::json!({
                    "node": node.address.to_string(),
                    "name": node.name,
                    "position": node.position,
                    "wave": node.member.wave + 1,
                })
            })
            .collect();
        return ui::value(format, &rows);
    }
    let mut table = Table::default();
    table.headings(&["NODE", "NAME", "POSITION", "WAVE", "UP TO"]);
    for node in nodes {
        table.row([
            node.address.to_string(),
            node.name.clone(),
            node.position.to_string(),
            (node.member.wave + 1).to_string(),
            format!("{} %", rollout.waves[node.member.wave]),
        ]);
    }
    ui::write(table.draw().as_bytes())
}

fn sum_up(fleet: &Fleet<'_>, nodes: &[Node], absent: usize, halt: Option<Halt>) -> anyhow::Result<ExitCode> {
    let word = |node: &Node| node.ran.as_ref().map_or("not-begun", NodeResult::word);
    if fleet.session.format == Format::Table {
        let mut table = Table::default();
        table.headings(&["NODE", "NAME", "WAVE", "RESULT", "TOOK"]);
        for node in nodes {
            table.row([
                node.address.to_string(),
                node.name.clone(),
                (node.member.wave + 1).to_string(),
                word(node).to_owned(),
                node.ran
                    .as_ref()
                    .map(|ran| duration(ran.took))
                    .unwrap_or_default(),
            ]);
        }
        ui::write(table.draw().as_bytes())?;
    }
    match &halt {
        Some(Halt::Stopped(reason)) => ui::note(&format!("the rollout was stopped: {reason}")),
        Some(Halt::Failures { wave, failed, of }) => ui::note(&format!(
            "halted: {failed} of the {of} nodes of wave {} failed; {} % are tolerated",
            wave + 1,
            fleet.rollout.max_failure_percent
        )),
        None => {}
    }
    let failed = nodes.iter().any(|node| word(node) == "failed");
    if halt.is_none() && !failed && absent == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    ui::note(&format!(
        "to continue: {}\n  nodes that already run the release are skipped",
        command_line()
    ));
    Ok(ExitCode::FAILURE)
}
