//! Figures of the running system.

use api::v1alpha1::stats_service_server::StatsService;
use api::v1alpha1::{
    CpuRequest, CpuResponse, DisksRequest, DisksResponse, MemoryRequest, MemoryResponse, MountsRequest,
    MountsResponse, NetworkRequest, NetworkResponse, ProcessesRequest, ProcessesResponse, SocketsRequest,
    SocketsResponse,
};
use tonic::{Request, Response, Status};

use super::{Handlers, blocking};
use crate::facts;

#[tonic::async_trait]
impl StatsService for Handlers {
    async fn processes(&self, _: Request<ProcessesRequest>) -> Result<Response<ProcessesResponse>, Status> {
        Ok(Response::new(self.host.processes()))
    }

    async fn memory(&self, _: Request<MemoryRequest>) -> Result<Response<MemoryResponse>, Status> {
        Ok(Response::new(self.host.memory()))
    }

    async fn cpu(&self, _: Request<CpuRequest>) -> Result<Response<CpuResponse>, Status> {
        Ok(Response::new(self.host.cpu()))
    }

    async fn disks(&self, _: Request<DisksRequest>) -> Result<Response<DisksResponse>, Status> {
        Ok(Response::new(self.host.disks()))
    }

    async fn mounts(&self, _: Request<MountsRequest>) -> Result<Response<MountsResponse>, Status> {
        let host = self.host.clone();
        Ok(Response::new(blocking(move || host.mounts()).await?))
    }

    async fn network(&self, _: Request<NetworkRequest>) -> Result<Response<NetworkResponse>, Status> {
        let addresses = facts::addresses(&self.store);
        Ok(Response::new(self.host.network(&addresses)))
    }
    async fn sockets(&self, request: Request<SocketsRequest>) -> Result<Response<SocketsResponse>, Status> {
        let (host, all) = (self.host.clone(), request.into_inner().all);
        Ok(Response::new(blocking(move || host.sockets(all)).await?))
    }
}
