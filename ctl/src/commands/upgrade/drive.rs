//! The upgrade of one node: starts it, serves the bundle, and waits until the node is back.

use std::cell::RefCell;
use std::time::Duration;

use api::v1alpha1::upgrade_response::Response;
use api::v1alpha1::upgrade_service_client::UpgradeServiceClient;
use api::v1alpha1::{
    BundleWant, CancelUpgradeRequest, StartUpgrade, UpgradeMode, UpgradePlan, UpgradeStage, UpgradeStatus,
};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::call::{Call, is_broken_connection, poll, unreachable_text};
use super::decide::{FirstStep, Goal, NodeState, Started, Verdict, first_step, is_running, judge};
use super::describe;
use super::outcome::{Failure, Outcome};
use super::report::Report;
use super::source::Source;
use crate::address::Address;
use crate::connect::{Node, connect};
use crate::explain::Problem;
use crate::session::Session;

/// Interval between polls of a node that is waited for: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Number of attempts to push a bundle over connections that break.
const TRIES: u32 = 5;

/// The options of an upgrade.
#[derive(Debug, Clone)]
pub struct Options {
    /// The request to send; the driver fills in `source` and `plan_only`.
    pub request: StartUpgrade,
    /// Waits until the node is back and healthy.
    pub wait: bool,
    /// Time limit of the whole upgrade of one node.
    pub patience: Duration,
}

/// Upgrades nodes, with one call for each.
pub struct Driver<'a> {
    /// The session to reach the nodes with.
    pub session: &'a Session,
    /// The bundle.
    pub source: &'a Source,
    /// The options.
    pub options: Options,
    /// The release to run: taken from the first plan where the manifest is not known before. The upgrade of a node that plans
    /// another one is cancelled.
    pub goal: &'a RefCell<Goal>,
    /// The display of progress.
    pub report: &'a Report,
}

/// The end of a call to upgrade.
enum Ended {
    /// The node's final status.
    Done(Box<UpgradeStatus>),
    /// The connection broke; with the ID of the upgrade, if it is known to have started.
    Lost(String, Option<Problem>),
}

impl Driver<'_> {
    /// Returns the node's plan.
    pub async fn plan(&self, address: &Address) -> Result<UpgradePlan, Problem> {
        let node = connect(self.session, address).await?;
        let mut call = self.start(&node, true).await?;
        let mut found = None;
        loop {
            match call.response().await.map_err(|status| node.problem(&status))? {
                Some(Response::Want(want)) => {
                    let served = self.serve(&call, want).await;
                    served.map_err(|failure| Problem::new(failure.text))?;
                }
                Some(Response::Plan(plan)) => found = Some(plan),
                Some(Response::Progress(_)) => {}
                Some(Response::Done(status)) => {
                    return found
                        .ok_or_else(|| Problem::new(format!("{address}: {}", describe::reason(&status))));
                }
                None => return Err(Problem::new(format!("{address} returned no plan"))),
            }
        }
    }

    /// Upgrades a node. Sets `from` to the version that ran before, once it is known.
    pub async fn upgrade(&self, address: &Address, from: &mut String) -> Result<Outcome, Failure> {
        let until = Instant::now() + self.options.patience;
        let first = poll(self.session, address, false).await?;
        first.version.clone_into(from);
        let started = Started {
            id: String::new(),
            boot_id: first.boot_id.clone(),
        };
        let way = first_step(&self.goal(), &self.source.shown(), &first);
        match way {
            FirstStep::Already => Ok(Outcome::Already),
            FirstStep::Await if !self.options.wait => Ok(Outcome::Already),
            FirstStep::Await => self.wait_for_verdict(address, started, until).await,
            FirstStep::Refuse(why) => Err(Failure::new(format!("{address}: {why}"))),
            FirstStep::Follow(id) => {
                self.wait_for_verdict(address, Started { id, ..started }, until)
                    .await
            }
            FirstStep::Start => self.start_with_retries(address, started, &first, until).await,
        }
    }

    async fn start_with_retries(
        &self,
        address: &Address,
        started: Started,
        first: &NodeState,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        for left in (0..TRIES).rev() {
            match self.call(address).await? {
                Ended::Done(status) => return self.conclude(address, started, first, *status, until).await,
                Ended::Lost(id, problem) => {
                    let why = problem.map_or_else(String::new, |problem| format!(": {problem}"));
                    self.report
                        .note(&format!("{address}: the connection was lost{why}"));
                    let mut started = Started {
                        id,
                        ..started.clone()
                    };
                    if started.id.is_empty() {
                        // Before the first response: whether the upgrade has started, only the node knows.
                        let now = self.wait_until_reachable(address, until).await?;
                        match first_step(&self.goal(), &self.source.shown(), &now) {
                            FirstStep::Start => {
                                sleep(PAUSES.1).await;
                                continue;
                            }
                            FirstStep::Refuse(why) => return Err(Failure::new(format!("{address}: {why}"))),
                            FirstStep::Already | FirstStep::Await => {
                                return self.wait_for_verdict(address, started, until).await;
                            }
                            FirstStep::Follow(id) => started.id = id,
                        }
                    }
                    if matches!(self.source, Source::Url(_)) {
                        return self.wait_for_verdict(address, started, until).await;
                    }
                    let now = self.wait_until_idle(address, until).await?;
                    if now.boot_id != started.boot_id {
                        return self.wait_for_verdict(address, started, until).await;
                    }
                    if left > 0 {
                        self.report
                            .note(&format!("{address}: resuming with what is not written yet"));
                    }
                }
            }
        }
        Err(Failure::new(format!(
            "{address}: the connection was lost {TRIES} times; run this command again when it is stable: what was written is kept"
        )))
    }

    /// Makes one call, from its start to its end.
    async fn call(&self, address: &Address) -> Result<Ended, Failure> {
        let name = address.to_string();
        let node = connect(self.session, address).await?;
        let mut call = self.start(&node, false).await?;
        let mut id = String::new();
        loop {
            match call.response().await {
                Ok(Some(Response::Want(want))) => self.serve(&call, want).await?,
                Ok(Some(Response::Plan(plan))) => {
                    self.report.plan(&name, &plan)?;
                    if let Err(failure) = self.learn(&plan) {
                        // The request to cancel may fail: then it is armed at worst, and the user decides after reading the failure.
                        let _ = UpgradeServiceClient::new(node.channel.clone())
                            .cancel(CancelUpgradeRequest {})
                            .await;
                        return Err(failure);
                    }
                }
                Ok(Some(Response::Progress(status))) => {
                    status.id.clone_into(&mut id);
                    self.report.progress(&name, &status)?;
                }
                Ok(Some(Response::Done(status))) => {
                    self.report.progress(&name, &status)?;
                    return Ok(Ended::Done(Box::new(status)));
                }
                Ok(None) if id.is_empty() => {
                    return Err(Failure::new(format!(
                        "{address}: ended the call without a response"
                    )));
                }
                Ok(None) => return Ok(Ended::Lost(id, None)),
                Err(status)
                    if is_broken_connection(&status)
                        && (!id.is_empty() || status.code() == Code::Unavailable) =>
                {
                    return Ok(Ended::Lost(id, Some(node.problem(&status))));
                }
                Err(status) => return Err(node.problem(&status).into()),
            }
        }
    }

    /// Returns the outcome of a node after its call has ended.
    async fn conclude(
        &self,
        address: &Address,
        started: Started,
        first: &NodeState,
        status: UpgradeStatus,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        let started = Started {
            id: status.id.clone(),
            ..started
        };
        match status.stage() {
            // The node knows the image by its content: only it could tell before the manifest was read here.
            UpgradeStage::Failed if self.goal().is_run_by(first) => {
                if self.options.wait {
                    let started = Started {
                        id: String::new(),
                        ..started
                    };
                    self.wait_for_verdict(address, started, until).await?;
                }
                Ok(Outcome::Already)
            }
            UpgradeStage::Waiting => Ok(Outcome::Window),
            UpgradeStage::Armed if self.options.request.mode() == UpgradeMode::Staged => Ok(Outcome::Armed),
            UpgradeStage::Armed | UpgradeStage::Rebooting if self.options.wait => {
                self.wait_for_verdict(address, started, until).await
            }
            UpgradeStage::Armed | UpgradeStage::Rebooting => Ok(Outcome::Restarts),
            _ => Err(Failure::new(format!("{address}: {}", describe::reason(&status)))),
        }
    }

    /// Polls a node until its outcome is known.
    async fn wait_for_verdict(
        &self,
        address: &Address,
        started: Started,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        let name = address.to_string();
        let mut last = "rebooting".to_owned();
        let mut pause = PAUSES.0;
        loop {
            match poll(self.session, address, true).await {
                Ok(now) => {
                    if let Some(plan) = &now.status.plan
                        && now.status.id == started.id
                    {
                        self.learn(plan)?;
                    }
                    let restarted = now.boot_id != started.boot_id;
                    match judge(&self.goal(), &started, &now) {
                        Verdict::Upgraded => return Ok(Outcome::Upgraded),
                        Verdict::Armed => return Ok(Outcome::Armed),
                        Verdict::Window => return Ok(Outcome::Window),
                        Verdict::Failed(text, record) => {
                            let text = format!("{address}: {text}");
                            return Err(Failure { text, record });
                        }
                        Verdict::Waiting(_) if !self.options.wait && (restarted || is_restarting(&now)) => {
                            return Ok(Outcome::Restarts);
                        }
                        Verdict::Waiting(_)
                            if now.status.id == started.id && is_running(now.status.stage()) =>
                        {
                            self.report.progress(&name, &now.status)?;
                            describe::stage(now.status.stage()).clone_into(&mut last);
                        }
                        Verdict::Waiting(what) => {
                            self.report.waiting(&name, &what)?;
                            last = what;
                        }
                    }
                }
                // Whatever the problem is, a node that reboots may recover from it.
                Err(problem) => {
                    last = unreachable_text(&problem);
                    self.report.waiting(&name, &last)?;
                }
            }
            if Instant::now() + pause > until {
                return Err(Failure::new(format!(
                    "{address}: not finished within {} (last: {last}); see `bedplate upgrade status`, \
                     or use --patience to wait longer",
                    crate::ui::duration(self.options.patience)
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits until a node can be reached again.
    async fn wait_until_reachable(&self, address: &Address, until: Instant) -> Result<NodeState, Failure> {
        let mut pause = PAUSES.0;
        loop {
            match poll(self.session, address, false).await {
                Err(problem) if Instant::now() + pause <= until => {
                    self.report
                        .waiting(&address.to_string(), &unreachable_text(&problem))?;
                }
                seen => return Ok(seen?),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits until a node responses again, and works on nothing.
    async fn wait_until_idle(&self, address: &Address, until: Instant) -> Result<NodeState, Failure> {
        let mut pause = PAUSES.0;
        loop {
            match poll(self.session, address, false).await {
                Ok(now) if !is_running(now.status.stage()) => return Ok(now),
                Err(problem) if Instant::now() + pause > until => return Err(problem.into()),
                Ok(_) if Instant::now() + pause > until => {
                    return Err(Failure::new(format!("{address}: still busy with the old call")));
                }
                Err(problem) => self
                    .report
                    .waiting(&address.to_string(), &unreachable_text(&problem))?,
                Ok(_) => self
                    .report
                    .waiting(&address.to_string(), "ending the lost call")?,
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Returns what is known of the release so far.
    fn goal(&self) -> Goal {
        self.goal.borrow().clone()
    }

    fn learn(&self, plan: &UpgradePlan) -> Result<(), Failure> {
        let mut goal = self.goal.borrow_mut();
        if goal.manifest.is_empty() {
            *goal = Goal {
                version: plan.to_version.clone(),
                manifest: plan.manifest_sha256.clone(),
            };
        }
        if plan.manifest_sha256 == goal.manifest {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{} brings version {} with manifest {}, and not version {} with manifest {}: it was replaced in the meantime, \
             or is another release; the upgrade was cancelled",
            self.source.shown(),
            plan.to_version,
            plan.manifest_sha256,
            goal.version,
            goal.manifest
        )))
    }

    async fn start(&self, node: &Node, plan_only: bool) -> Result<Call, Problem> {
        let start = StartUpgrade {
            source: Some(self.source.request()),
            plan_only,
            ..self.options.request.clone()
        };
        Call::start(node, start, self.session.timeout).await
    }

    async fn serve(&self, call: &Call, want: BundleWant) -> Result<(), Failure> {
        let Source::File(bundle) = self.source else {
            return Err(Failure::new(
                "the node requested data of a bundle that it should fetch itself",
            ));
        };
        let data = bundle.piece(want).await?;
        call.send(data).await;
        Ok(())
    }
}

fn is_restarting(now: &NodeState) -> bool {
    matches!(now.status.stage(), UpgradeStage::Armed | UpgradeStage::Rebooting)
}
