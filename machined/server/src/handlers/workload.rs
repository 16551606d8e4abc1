//! The workloads.

use api::v1alpha1::workload_service_server::WorkloadService;
use api::v1alpha1::{
    ListWorkloadsRequest, ListWorkloadsResponse, RestartWorkloadRequest, RestartWorkloadResponse,
    StartWorkloadRequest, StartWorkloadResponse, StopWorkloadRequest, StopWorkloadResponse,
};
use tonic::{Request, Response, Status};

use super::{Handlers, blocking};

#[tonic::async_trait]
impl WorkloadService for Handlers {
    async fn list(
        &self,
        _: Request<ListWorkloadsRequest>,
    ) -> Result<Response<ListWorkloadsResponse>, Status> {
        let part = self.backend.workloads.clone();
        let workloads = blocking(move || part.list()).await?;
        Ok(Response::new(ListWorkloadsResponse { workloads }))
    }

    async fn start(
        &self,
        request: Request<StartWorkloadRequest>,
    ) -> Result<Response<StartWorkloadResponse>, Status> {
        self.backend.workloads.start(&request.into_inner().name).await?;
        Ok(Response::new(StartWorkloadResponse {}))
    }

    async fn stop(
        &self,
        request: Request<StopWorkloadRequest>,
    ) -> Result<Response<StopWorkloadResponse>, Status> {
        self.backend.workloads.stop(&request.into_inner().name).await?;
        Ok(Response::new(StopWorkloadResponse {}))
    }

    async fn restart(
        &self,
        request: Request<RestartWorkloadRequest>,
    ) -> Result<Response<RestartWorkloadResponse>, Status> {
        self.backend.workloads.restart(&request.into_inner().name).await?;
        Ok(Response::new(RestartWorkloadResponse {}))
    }
}
