//! The etcd of a control plane.

use api::v1alpha1::etcd_service_server::EtcdService;
use api::v1alpha1::{
    BootstrapRequest, BootstrapResponse, EtcdAlarmsRequest, EtcdAlarmsResponse, EtcdDefragmentRequest,
    EtcdDefragmentResponse, EtcdDisarmRequest, EtcdDisarmResponse, EtcdForfeitLeadershipRequest,
    EtcdForfeitLeadershipResponse, EtcdLeaveRequest, EtcdLeaveResponse, EtcdMembersRequest,
    EtcdMembersResponse, EtcdRemoveMemberRequest, EtcdRemoveMemberResponse, EtcdSnapshotRequest,
    EtcdSnapshotResponse, EtcdStatusRequest, EtcdStatusResponse,
};
use futures::StreamExt as _;
use tonic::{Request, Response, Status};

use super::{Answers, Handlers};

#[tonic::async_trait]
impl EtcdService for Handlers {
    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapResponse>, Status> {
        self.backend.etcd.bootstrap().await?;
        Ok(Response::new(BootstrapResponse {}))
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

    type EtcdSnapshotStream = Answers<EtcdSnapshotResponse>;

    async fn etcd_snapshot(
        &self,
        _: Request<EtcdSnapshotRequest>,
    ) -> Result<Response<Answers<EtcdSnapshotResponse>>, Status> {
        let pieces = self.backend.etcd.snapshot().await?;
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
