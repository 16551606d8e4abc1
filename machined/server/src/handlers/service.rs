//! The services.

use api::v1alpha1::service_service_server::ServiceService;
use api::v1alpha1::{
    ListServicesRequest, ListServicesResponse, RestartServiceRequest, RestartServiceResponse,
    StartServiceRequest, StartServiceResponse, StopServiceRequest, StopServiceResponse,
};
use tonic::{Request, Response, Status};

use super::Handlers;

#[tonic::async_trait]
impl ServiceService for Handlers {
    async fn list(&self, _: Request<ListServicesRequest>) -> Result<Response<ListServicesResponse>, Status> {
        Ok(Response::new(ListServicesResponse {
            services: self.backend.services.list(),
        }))
    }

    async fn start(
        &self,
        request: Request<StartServiceRequest>,
    ) -> Result<Response<StartServiceResponse>, Status> {
        self.backend.services.start(&request.into_inner().name).await?;
        Ok(Response::new(StartServiceResponse {}))
    }

    async fn stop(
        &self,
        request: Request<StopServiceRequest>,
    ) -> Result<Response<StopServiceResponse>, Status> {
        self.backend.services.stop(&request.into_inner().name).await?;
        Ok(Response::new(StopServiceResponse {}))
    }

    async fn restart(
        &self,
        request: Request<RestartServiceRequest>,
    ) -> Result<Response<RestartServiceResponse>, Status> {
        self.backend.services.restart(&request.into_inner().name).await?;
        Ok(Response::new(RestartServiceResponse {}))
    }
}
