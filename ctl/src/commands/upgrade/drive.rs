//! Upgrades one node: starts it, serves the bundle, and waits until it is back.

use std::cell::RefCell;
use std::time::Duration;

use api::v1alpha1::upgrade_response::Response as Answer;
use api::v1alpha1::upgrade_service_client::UpgradeServiceClient;
use api::v1alpha1::{
    BundleWant, CancelUpgradeRequest, StartUpgrade, UpgradeMode, UpgradePlan, UpgradeStage, UpgradeStatus,
};
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::call::{Call, absence, broke, look};
use super::decide::{Begin, Begun, Goal, Seen, Verdict, begin, is_running, judge};
use super::outcome::{Failure, Outcome};
use super::report::Report;
use super::source::Source;
use super::words;
use crate::address::Address;
use crate::connect::{Node, connect};
use crate::explain::Problem;
use crate::session::Session;

/// How long until a node is looked at again while it is waited for: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How often a pushed bundle is begun again after the connection was lost.
const TRIES: u32 = 5;

/// What is asked of nodes.
#[derive(Debug, Clone)]
pub struct Options {
    /// When the node restarts.
    pub mode: UpgradeMode,
    /// In spite of refusals.
    pub force: bool,
    /// Bytes a second; 0 means no limit.
    pub rate_limit: u64,
    /// Until it is back and well.
    pub wait: bool,
    /// How long one node may take for all of it.
    pub patience: Duration,
}

/// Upgrades nodes, one call for each.
pub struct Driver<'a> {
    /// How to reach them.
    pub session: &'a Session,
    /// Where the bundle is.
    pub source: &'a Source,
    /// What is asked.
    pub options: Options,
    /// What they shall run: learnt from the first plan where its manifest is not known before. A node that plans
    /// something else is cancelled.
    pub goal: &'a RefCell<Goal>,
    /// Who is told.
    pub report: &'a Report,
}

/// How a call to upgrade ended.
enum Ended {
    /// The node said so.
    Done(Box<UpgradeStatus>),
    /// The connection broke after the upgrade had begun; without its name, perhaps before.
    Lost(String, Option<Problem>),
}

impl Driver<'_> {
    /// Plans only.
    pub async fn plan(&self, address: &Address) -> Result<UpgradePlan, Problem> {
        let node = connect(self.session, address).await?;
        let mut call = self.start(&node, true).await?;
        let mut found = None;
        loop {
            match call.answer().await.map_err(|status| node.problem(&status))? {
                Some(Answer::Want(want)) => {
                    let served = self.serve(&call, want).await;
                    served.map_err(|failure| Problem::new(failure.text))?;
                }
                Some(Answer::Plan(plan)) => found = Some(plan),
                Some(Answer::Progress(_)) => {}
                Some(Answer::Done(status)) => {
                    return found
                        .ok_or_else(|| Problem::new(format!("{address}: {}", words::reason(&status))));
                }
                None => return Err(Problem::new(format!("{address} ended without a plan"))),
            }
        }
    }

    /// Upgrades a node; also returns the version that ran before, once it is known.
    pub async fn upgrade(&self, address: &Address, from: &mut String) -> Result<Outcome, Failure> {
        let until = Instant::now() + self.options.patience;
        let first = look(self.session, address, false).await?;
        first.version.clone_into(from);
        let begun = Begun {
            id: String::new(),
            boot_id: first.boot_id.clone(),
        };
        let way = begin(&self.goal(), &self.source.shown(), &first);
        match way {
            Begin::Already => Ok(Outcome::Already),
            Begin::Await if !self.options.wait => Ok(Outcome::Already),
            Begin::Await => self.settle(address, begun, until).await,
            Begin::Refuse(why) => Err(Failure::new(format!("{address}: {why}"))),
            Begin::Follow(id) => self.settle(address, Begun { id, ..begun }, until).await,
            Begin::Start => self.push_through(address, begun, &first, until).await,
        }
    }

    async fn push_through(
        &self,
        address: &Address,
        begun: Begun,
        first: &Seen,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        for left in (0..TRIES).rev() {
            match self.call(address).await? {
                Ended::Done(status) => return self.conclude(address, begun, first, *status, until).await,
                Ended::Lost(id, problem) => {
                    let why = problem.map_or_else(String::new, |problem| format!(": {problem}"));
                    self.report
                        .note(&format!("{address}: the connection was lost{why}"));
                    let mut begun = Begun { id, ..begun.clone() };
                    if begun.id.is_empty() {
                        // Before its first word: whether it has begun, only the node knows.
                        let now = self.answering(address, until).await?;
                        match begin(&self.goal(), &self.source.shown(), &now) {
                            Begin::Start => {
                                sleep(PAUSES.1).await;
                                continue;
                            }
                            Begin::Refuse(why) => return Err(Failure::new(format!("{address}: {why}"))),
                            Begin::Already | Begin::Await => return self.settle(address, begun, until).await,
                            Begin::Follow(id) => begun.id = id,
                        }
                    }
                    if matches!(self.source, Source::Url(_)) {
                        return self.settle(address, begun, until).await;
                    }
                    let now = self.quiet(address, until).await?;
                    if now.boot_id != begun.boot_id {
                        return self.settle(address, begun, until).await;
                    }
                    if left > 0 {
                        self.report
                            .note(&format!("{address}: goes on with what was not written yet"));
                    }
                }
            }
        }
        Err(Failure::new(format!(
            "{address}: the connection was lost {TRIES} times; run this again when it is better: what was written stays"
        )))
    }

    /// One call, from the start to its end.
    async fn call(&self, address: &Address) -> Result<Ended, Failure> {
        let name = address.to_string();
        let node = connect(self.session, address).await?;
        let mut call = self.start(&node, false).await?;
        let mut id = String::new();
        loop {
            match call.answer().await {
                Ok(Some(Answer::Want(want))) => self.serve(&call, want).await?,
                Ok(Some(Answer::Plan(plan))) => {
                    self.report.plan(&name, &plan)?;
                    if let Err(failure) = self.learn(&plan) {
                        // Its wish to cancel may fail: then it is armed at worst, and whoever reads the failure decides.
                        let _ = UpgradeServiceClient::new(node.channel.clone())
                            .cancel(CancelUpgradeRequest {})
                            .await;
                        return Err(failure);
                    }
                }
                Ok(Some(Answer::Progress(status))) => {
                    status.id.clone_into(&mut id);
                    self.report.progress(&name, &status)?;
                }
                Ok(Some(Answer::Done(status))) => {
                    self.report.progress(&name, &status)?;
                    return Ok(Ended::Done(Box::new(status)));
                }
                Ok(None) if id.is_empty() => {
                    return Err(Failure::new(format!("{address}: ended the call without a word")));
                }
                Ok(None) => return Ok(Ended::Lost(id, None)),
                Err(status) if broke(&status) && (!id.is_empty() || status.code() == Code::Unavailable) => {
                    return Ok(Ended::Lost(id, Some(node.problem(&status))));
                }
                Err(status) => return Err(node.problem(&status).into()),
            }
        }
    }

    /// Says what became of a node whose call ended as it should.
    async fn conclude(
        &self,
        address: &Address,
        begun: Begun,
        first: &Seen,
        status: UpgradeStatus,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        let begun = Begun {
            id: status.id.clone(),
            ..begun
        };
        match status.stage() {
            // The node knows the image by its content: only it could tell before the manifest was read here.
            UpgradeStage::Failed if self.goal().is_run_by(first) => {
                if self.options.wait {
                    let begun = Begun {
                        id: String::new(),
                        ..begun
                    };
                    self.settle(address, begun, until).await?;
                }
                Ok(Outcome::Already)
            }
            UpgradeStage::Waiting => Ok(Outcome::Window),
            UpgradeStage::Armed if self.options.mode == UpgradeMode::Staged => Ok(Outcome::Armed),
            UpgradeStage::Armed | UpgradeStage::Rebooting if self.options.wait => {
                self.settle(address, begun, until).await
            }
            UpgradeStage::Armed | UpgradeStage::Rebooting => Ok(Outcome::Restarts),
            _ => Err(Failure::new(format!("{address}: {}", words::reason(&status)))),
        }
    }

    /// Looks at a node until it is decided what becomes of it.
    async fn settle(&self, address: &Address, begun: Begun, until: Instant) -> Result<Outcome, Failure> {
        let name = address.to_string();
        let mut last = "restarts".to_owned();
        let mut pause = PAUSES.0;
        loop {
            match look(self.session, address, true).await {
                Ok(now) => {
                    if let Some(plan) = &now.status.plan
                        && now.status.id == begun.id
                    {
                        self.learn(plan)?;
                    }
                    let restarted = now.boot_id != begun.boot_id;
                    match judge(&self.goal(), &begun, &now) {
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
                            if now.status.id == begun.id && is_running(now.status.stage()) =>
                        {
                            self.report.progress(&name, &now.status)?;
                            words::stage(now.status.stage()).clone_into(&mut last);
                        }
                        Verdict::Waiting(what) => {
                            self.report.waiting(&name, &what)?;
                            last = what;
                        }
                    }
                }
                // Whatever it is, a node that restarts may get over it.
                Err(problem) => {
                    last = absence(&problem);
                    self.report.waiting(&name, &last)?;
                }
            }
            if Instant::now() + pause > until {
                return Err(Failure::new(format!(
                    "{address}: not done within {} (last: {last}); `bedplate upgrade status` shows how it fares, \
                     --patience gives it longer",
                    crate::ui::duration(self.options.patience)
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits until a node answers again.
    async fn answering(&self, address: &Address, until: Instant) -> Result<Seen, Failure> {
        let mut pause = PAUSES.0;
        loop {
            match look(self.session, address, false).await {
                Err(problem) if Instant::now() + pause <= until => {
                    self.report.waiting(&address.to_string(), &absence(&problem))?;
                }
                seen => return Ok(seen?),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits until a node answers again, and works on nothing.
    async fn quiet(&self, address: &Address, until: Instant) -> Result<Seen, Failure> {
        let mut pause = PAUSES.0;
        loop {
            match look(self.session, address, false).await {
                Ok(now) if !is_running(now.status.stage()) => return Ok(now),
                Err(problem) if Instant::now() + pause > until => return Err(problem.into()),
                Ok(_) if Instant::now() + pause > until => {
                    return Err(Failure::new(format!("{address}: still works on the old call")));
                }
                Err(problem) => self.report.waiting(&address.to_string(), &absence(&problem))?,
                Ok(_) => self
                    .report
                    .waiting(&address.to_string(), "ends the call that was lost")?,
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Returns what is known of the release by now.
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
            "{} brings version {} with manifest {}, and not version {} with manifest {}: it was changed meanwhile, \
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
            source: Some(self.source.asked()),
            mode: self.options.mode.into(),
            plan_only,
            force: self.options.force,
            rate_limit: self.options.rate_limit,
        };
        Call::start(node, start, self.session.timeout).await
    }

    async fn serve(&self, call: &Call, want: BundleWant) -> Result<(), Failure> {
        let Source::File(bundle) = self.source else {
            return Err(Failure::new(
                "the node asks for a bundle that it was to fetch itself",
            ));
        };
        let data = bundle.piece(want).await?;
        call.send(data).await;
        Ok(())
    }
}

fn is_restarting(now: &Seen) -> bool {
    matches!(now.status.stage(), UpgradeStage::Armed | UpgradeStage::Rebooting)
}
