//! The etcd of a control plane.

use api::v1alpha1::etcd_recover_request::Request as RequestKind;
use api::v1alpha1::etcd_recover_response::Response as ResponseKind;
use api::v1alpha1::etcd_service_server::EtcdService;
use api::v1alpha1::{
    BootstrapRequest, BootstrapResponse, EtcdAlarmsRequest, EtcdAlarmsResponse, EtcdDefragmentRequest,
    EtcdDefragmentResponse, EtcdDisarmRequest, EtcdDisarmResponse, EtcdForfeitLeadershipRequest,
    EtcdForfeitLeadershipResponse, EtcdLeaveRequest, EtcdLeaveResponse, EtcdMembersRequest,
    EtcdMembersResponse, EtcdRecoverRequest, EtcdRecoverResponse, EtcdRemoveMemberRequest,
    EtcdRemoveMemberResponse, EtcdSnapshotRequest, EtcdSnapshotResponse, EtcdSnapshotsRequest,
    EtcdSnapshotsResponse, EtcdStatusRequest, EtcdStatusResponse, StartEtcdRecovery,
};
use backend::SnapshotSource;
use futures::{StreamExt as _, TryStreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::pushed::{Pushed, Said};
use super::{Answers, Handlers};
use crate::push;

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
        let data = |request: EtcdRecoverRequest| match request.request {
            Some(RequestKind::Data(data)) => Some(data),
            _ => None,
        };
        let answers = Pushed::new("recovery", job, requests, pieces, data).answers();
        let answers = answers.map_ok(|said| EtcdRecoverResponse {
            response: Some(match said {
                Said::Want(want) => ResponseKind::Want(want),
                Said::Done(recovered) => ResponseKind::Done(recovered),
            }),
        });
        Ok(Response::new(Box::pin(answers)))
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
