//! The etcd of a control plane.

use api::v1alpha1::etcd_recover_request::Request as RequestKind;
use api::v1alpha1::etcd_recover_response::Response as ResponseKind;
use api::v1alpha1::etcd_service_server::EtcdService;
use api::v1alpha1::{
    BootstrapRequest, BootstrapResponse, EtcdAlarmsRequest, EtcdAlarmsResponse, EtcdDefragmentRequest,
    EtcdDefragmentResponse, EtcdDisarmRequest, EtcdDisarmResponse, EtcdForfeitLeadershipRequest,
    EtcdForfeitLeadershipResponse, EtcdLeaveRequest, EtcdLeaveResponse, EtcdMembersRequest,
    EtcdMembersResponse, EtcdRecoverRequest, EtcdRecoverResponse, EtcdRecovered, EtcdRemoveMemberRequest,
    EtcdRemoveMemberResponse, EtcdSnapshotRequest, EtcdSnapshotResponse, EtcdSnapshotsRequest,
    EtcdSnapshotsResponse, EtcdStatusRequest, EtcdStatusResponse, StartEtcdRecovery,
};
use backend::{BackendError, SnapshotSource};
use futures::StreamExt as _;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, Handlers};
use crate::push::{self, PieceQueue};

#[tonic::async_trait]
impl EtcdService for Handlers {
    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapResponse>, Status> {
        self.backend.etcd.bootstrap().await?;
        Ok(Response::new(BootstrapResponse {}))
    }

    type EtcdRecoverStream = Answers<EtcdRecoverResponse>;

    async fn etcd_recover(
        &self,
        request: Request<Streaming<EtcdRecoverRequest>>,
    ) -> Result<Response<Answers<EtcdRecoverResponse>>, Status> {
        let mut requests = request.into_inner();
        let Some(EtcdRecoverRequest {
            request:
                Some(RequestKind::Start(StartEtcdRecovery {
                    length,
                    name,
                    replace,
                })),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument("the first request must be `start`"));
        };
        let (pushed, pieces) = push::channel(length);
        let snapshot = match name.is_empty() {
            true => SnapshotSource::Pushed(Box::new(pushed)),
            false => SnapshotSource::Kept(name),
        };
        let etcd = self.backend.etcd.clone();
        // A task of its own: a client that goes away does not cut a restore in half.
        let job = tokio::spawn(async move { etcd.recover(snapshot, replace).await });
        let call = Recovery {
            job: Some(job),
            requests,
            pieces,
        };
        Ok(Response::new(Box::pin(futures::stream::unfold(
            call,
            |mut call| async {
                let answer = call.next().await?;
                Some((answer, call))
            },
        ))))
    }

    async fn etcd_members(
        &self,
        _: Request<EtcdMembersRequest>,
    ) -> Result<Response<EtcdMembersResponse>, Status> {
        Ok(Response::new(self.backend.etcd.members().await?))
    }

    async fn etcd_status(
        &self,
        _: Request<EtcdStatusRequest>,
    ) -> Result<Response<EtcdStatusResponse>, Status> {
        Ok(Response::new(self.backend.etcd.status().await?))
    }

    async fn etcd_snapshots(
        &self,
        _: Request<EtcdSnapshotsRequest>,
    ) -> Result<Response<EtcdSnapshotsResponse>, Status> {
        Ok(Response::new(self.backend.etcd.snapshots().await?))
    }

    type EtcdSnapshotStream = Answers<EtcdSnapshotResponse>;

    async fn etcd_snapshot(
        &self,
        request: Request<EtcdSnapshotRequest>,
    ) -> Result<Response<Answers<EtcdSnapshotResponse>>, Status> {
        let name = request.into_inner().name;
        let kept = Some(name.as_str()).filter(|name| !name.is_empty());
        let pieces = self.backend.etcd.snapshot(kept).await?;
        Ok(Response::new(Box::pin(
            pieces.map(|piece| Ok(EtcdSnapshotResponse { data: piece? })),
        )))
    }

    async fn etcd_remove_member(
        &self,
        request: Request<EtcdRemoveMemberRequest>,
    ) -> Result<Response<EtcdRemoveMemberResponse>, Status> {
        let member = self
            .backend
            .etcd
            .remove_member(&request.into_inner().member)
            .await?;
        Ok(Response::new(EtcdRemoveMemberResponse { member: Some(member) }))
    }

    async fn etcd_leave(&self, _: Request<EtcdLeaveRequest>) -> Result<Response<EtcdLeaveResponse>, Status> {
        self.backend.etcd.leave().await?;
        Ok(Response::new(EtcdLeaveResponse {}))
    }

    async fn etcd_forfeit_leadership(
        &self,
        _: Request<EtcdForfeitLeadershipRequest>,
    ) -> Result<Response<EtcdForfeitLeadershipResponse>, Status> {
        let leader = self.backend.etcd.forfeit_leadership().await?.unwrap_or_default();
        Ok(Response::new(EtcdForfeitLeadershipResponse { leader }))
    }

    async fn etcd_defragment(
        &self,
        _: Request<EtcdDefragmentRequest>,
    ) -> Result<Response<EtcdDefragmentResponse>, Status> {
        self.backend.etcd.defragment().await?;
        Ok(Response::new(EtcdDefragmentResponse {}))
    }

    async fn etcd_alarms(
        &self,
        _: Request<EtcdAlarmsRequest>,
    ) -> Result<Response<EtcdAlarmsResponse>, Status> {
        let alarms = self.backend.etcd.alarms().await?;
        Ok(Response::new(EtcdAlarmsResponse { alarms }))
    }

    async fn etcd_disarm(
        &self,
        _: Request<EtcdDisarmRequest>,
    ) -> Result<Response<EtcdDisarmResponse>, Status> {
        let alarms = self.backend.etcd.disarm().await?;
        Ok(Response::new(EtcdDisarmResponse { alarms }))
    }
}

/// One call to recover, from its start to its end.
struct Recovery {
    /// The work; none once it has ended.
    job: Option<JoinHandle<Result<EtcdRecovered, BackendError>>>,
    requests: Streaming<EtcdRecoverRequest>,
    pieces: PieceQueue,
}

impl Recovery {
    /// Returns the next response; none once the call has ended.
    async fn next(&mut self) -> Option<Result<EtcdRecoverResponse, Status>> {
        let answer = self.step().await?;
        if !matches!(answer, Ok(ResponseKind::Want(_))) {
            self.job = None;
        }
        let response = |kind| EtcdRecoverResponse { response: Some(kind) };
        Some(answer.map(response))
    }

    async fn step(&mut self) -> Option<Result<ResponseKind, Status>> {
        let job = self.job.as_mut()?;
        let (mut asks, mut hears) = (true, true);
        loop {
            tokio::select! {
                biased;
                // Cancel safe: a request is taken and kept in one step.
                want = self.pieces.next(), if asks => match want {
                    Some(want) => return Some(Ok(ResponseKind::Want(want))),
                    None => asks = false,
                },
                // Cancel safe: what has arrived of a message stays in the stream.
                said = self.requests.message(), if hears => match said {
                    Ok(Some(EtcdRecoverRequest { request: Some(RequestKind::Data(data)) })) => {
                        if let Err(fault) = self.pieces.take(data) {
                            return Some(Err(Status::invalid_argument(fault.to_string())));
                        }
                    }
                    Ok(Some(_)) => {
                        let fault = self.pieces.fail("only data may follow the start".to_owned());
                        return Some(Err(Status::invalid_argument(fault.to_string())));
                    }
                    Ok(None) => {
                        hears = false;
                        // Of no consequence once everything has arrived.
                        let _ended = self.pieces.fail("the request ended before all data were sent".to_owned());
                    }
                    Err(status) => return Some(Err(status)),
                },
                // Cancel safe: a task that has ended says so again.
                ended = &mut *job => return Some(match ended {
                    Ok(recovered) => recovered.map(ResponseKind::Done).map_err(Status::from),
                    Err(error) => Err(Status::internal(format!("the recovery failed: {error}"))),
                }),
            }
        }
    }
}
