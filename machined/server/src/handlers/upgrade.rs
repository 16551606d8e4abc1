//! Upgrades.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use api::Role;
use api::v1alpha1::start_upgrade::Source;
use api::v1alpha1::upgrade_request::Request as RequestKind;
use api::v1alpha1::upgrade_response::Response as ResponseKind;
use api::v1alpha1::upgrade_service_server::UpgradeService;
use api::v1alpha1::{
    CancelUpgradeRequest, CancelUpgradeResponse, RollbackRequest, RollbackResponse, StartUpgrade,
    UpgradeHistoryRequest, UpgradeHistoryResponse, UpgradeMode, UpgradeRequest, UpgradeResponse,
    UpgradeStage, UpgradeStatus, UpgradeStatusRequest, WatchUpgradeRequest,
};
use backend::Caller;
use backend::{PushedBundle, UpgradeSource};
use state::kinds::upgrade::Mode;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, Handlers, caller, tail};
use crate::push::{self, PieceQueue};

/// Longest URL that is accepted.
const MAX_URL: usize = 2048;

#[tonic::async_trait]
impl UpgradeService for Handlers {
    type UpgradeStream = Answers<UpgradeResponse>;

    async fn upgrade(
        &self,
        request: Request<Streaming<UpgradeRequest>>,
    ) -> Result<Response<Answers<UpgradeResponse>>, Status> {
        let caller = caller(&request)?;
        let mut requests = request.into_inner();
        let Some(UpgradeRequest {
            request: Some(RequestKind::Start(start)),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument("the first request must be `start`"));
        };
        let start = validated(start, &caller)?;
        let (bundle, pieces): (Option<Box<dyn PushedBundle>>, _) = match start.source {
            UpgradeSource::Url(_) => (None, None),
            UpgradeSource::Pushed { length } => {
                let (bundle, pieces) = push::channel(length);
                (Some(Box::new(bundle)), Some(pieces))
            }
        };
        let id = self.backend.upgrades.start(start, bundle).await?;
        let mut status = self.backend.upgrades.status();
        status.mark_changed();
        let call = Call {
            id,
            status,
            requests: Some(requests),
            pieces,
            ready: VecDeque::new(),
            planned: false,
            ended: false,
        };
        Ok(Response::new(Box::pin(futures::stream::unfold(
            call,
            |mut call| async {
                let answer = call.next().await?;
                Some((answer, call))
            },
        ))))
    }

    type WatchStream = Answers<UpgradeStatus>;

    async fn watch(
        &self,
        _: Request<WatchUpgradeRequest>,
    ) -> Result<Response<Answers<UpgradeStatus>>, Status> {
        let mut status = self.backend.upgrades.status();
        status.mark_changed();
        let answers = futures::stream::unfold(status, |mut status| async {
            status.changed().await.ok()?;
            let now = status.borrow_and_update().clone();
            Some((Ok(now), status))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn status(&self, _: Request<UpgradeStatusRequest>) -> Result<Response<UpgradeStatus>, Status> {
        Ok(Response::new(self.backend.upgrades.status().borrow().clone()))
    }

    async fn history(
        &self,
        request: Request<UpgradeHistoryRequest>,
    ) -> Result<Response<UpgradeHistoryResponse>, Status> {
        let limit = tail(request.into_inner().limit).unwrap_or(usize::MAX);
        let mut records = self.backend.upgrades.history().await?;
        records.truncate(limit);
        Ok(Response::new(UpgradeHistoryResponse { records }))
    }

    async fn cancel(
        &self,
        _: Request<CancelUpgradeRequest>,
    ) -> Result<Response<CancelUpgradeResponse>, Status> {
        let id = self.backend.upgrades.cancel().await?;
        Ok(Response::new(CancelUpgradeResponse { id }))
    }

    async fn rollback(&self, _: Request<RollbackRequest>) -> Result<Response<RollbackResponse>, Status> {
        let to_version = self.backend.upgrades.rollback().await?;
        Ok(Response::new(RollbackResponse { to_version }))
    }
}

/// Validates a request. In case of doubt it is refused.
fn validated(start: StartUpgrade, caller: &Caller) -> Result<backend::StartUpgrade, Status> {
    if start.force && caller.role < Some(Role::Admin) {
        return Err(Status::permission_denied(
            "forcing an upgrade requires the role admin",
        ));
    }
    let source = match start.source {
        Some(Source::Url(url)) => {
            let known = ["http://", "https://"]
                .iter()
                .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
            if !known || url.len() > MAX_URL || url.contains(|c: char| c.is_control() || c == ' ') {
                return Err(Status::invalid_argument(format!(
                    "the URL must start with http:// or https://, and have at most {MAX_URL} characters and no spaces"
                )));
            }
            UpgradeSource::Url(url)
        }
        Some(Source::Pushed(bundle)) if bundle.length > 0 => UpgradeSource::Pushed {
            length: bundle.length,
        },
        Some(Source::Pushed(_)) => {
            return Err(Status::invalid_argument(
                "the length of a pushed bundle is required",
            ));
        }
        None => return Err(Status::invalid_argument("a source is required: url or pushed")),
    };
    let mode = match UpgradeMode::try_from(start.mode) {
        Ok(UpgradeMode::Unspecified | UpgradeMode::Now) => Mode::Now,
        Ok(UpgradeMode::Staged) => Mode::Staged,
        Ok(UpgradeMode::Window) => Mode::Window,
        Err(_) => {
            return Err(Status::invalid_argument(format!(
                "unknown upgrade mode {}; the client may be newer than the node",
                start.mode
            )));
        }
    };
    Ok(backend::StartUpgrade {
        source,
        mode,
        plan_only: start.plan_only,
        force: start.force,
        rate_limit: NonZeroU64::new(start.rate_limit),
        who: caller.who.clone(),
    })
}

/// One call to upgrade, from its start to its end.
struct Call {
    id: String,
    status: watch::Receiver<UpgradeStatus>,
    /// The client's requests; none once it has closed its side.
    requests: Option<Streaming<UpgradeRequest>>,
    /// Requests for pieces of a pushed bundle; none for a URL, and once the job needs nothing more.
    pieces: Option<PieceQueue>,
    ready: VecDeque<ResponseKind>,
    planned: bool,
    ended: bool,
}

impl Call {
    /// Returns the next response; none once the call has ended.
    async fn next(&mut self) -> Option<Result<UpgradeResponse, Status>> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                let response = Some(answer);
                return Some(Ok(UpgradeResponse { response }));
            }
            if self.ended {
                return None;
            }
            if let Err(status) = self.step().await {
                self.ended = true;
                return Some(Err(status));
            }
        }
    }

    /// Waits for the next event.
    async fn step(&mut self) -> Result<(), Status> {
        tokio::select! {
            biased;
            // Cancel safe: a request is taken and kept in one step.
            want = next_piece(&mut self.pieces) => match want {
                Some(want) => self.ready.push_back(ResponseKind::Want(want)),
                None => self.pieces = None,
            },
            // Cancel safe: what has arrived of a message stays in the stream.
            said = next_request(&mut self.requests) => self.hear(said)?,
            // Cancel safe: a change that is not seen is still there for the next call.
            changed = self.status.changed() => {
                changed.map_err(|_| Status::unavailable("the node is stopping"))?;
                self.report()?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, said: Result<Option<UpgradeRequest>, Status>) -> Result<(), Status> {
        let request = match said? {
            Some(UpgradeRequest { request }) => request,
            None => {
                // The client only listens from now on: with that a pushed bundle cannot be had any more.
                self.requests = None;
                self.pieces = None;
                return Ok(());
            }
        };
        let fault = match (request, self.pieces.as_mut()) {
            (Some(RequestKind::Data(data)), Some(pieces)) => match pieces.take(data) {
                Ok(()) => return Ok(()),
                Err(fault) => fault.to_string(),
            },
            (_, Some(pieces)) => pieces
                .fail("only data may follow the start".to_owned())
                .to_string(),
            (_, None) => "no data was requested".to_owned(),
        };
        Err(Status::invalid_argument(fault))
    }

    /// Queues responses for a change of the status: the plan once, then the progress, then the end.
    fn report(&mut self) -> Result<(), Status> {
        let mut status = self.status.borrow_and_update().clone();
        if status.id != self.id {
            return Err(Status::aborted(format!(
                "another upgrade was started in the meantime; see `bedplate upgrade history` for the outcome of {}",
                self.id
            )));
        }
        if let Some(plan) = status.plan.take()
            && !self.planned
        {
            self.planned = true;
            self.ready.push_back(ResponseKind::Plan(plan));
        }
        self.ended = has_ended(status.stage());
        self.ready.push_back(if self.ended {
            ResponseKind::Done(status)
        } else {
            ResponseKind::Progress(status)
        });
        Ok(())
    }
}

/// Returns whether nothing more happens to an upgrade in that stage while a client waits.
fn has_ended(stage: UpgradeStage) -> bool {
    match stage {
        UpgradeStage::Opening
        | UpgradeStage::Surveying
        | UpgradeStage::Fetching
        | UpgradeStage::Verifying => false,
        UpgradeStage::Unspecified
        | UpgradeStage::Idle
        | UpgradeStage::Armed
        | UpgradeStage::Rebooting
        | UpgradeStage::Failed
        | UpgradeStage::Waiting => true,
    }
}

async fn next_piece(pieces: &mut Option<PieceQueue>) -> Option<api::v1alpha1::BundleWant> {
    match pieces {
        Some(pieces) => pieces.next().await,
        None => std::future::pending().await,
    }
}

async fn next_request(
    requests: &mut Option<Streaming<UpgradeRequest>>,
) -> Result<Option<UpgradeRequest>, Status> {
    match requests {
        Some(requests) => requests.message().await,
        None => std::future::pending().await,
    }
}
