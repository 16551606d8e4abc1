//! The etcd of a control plane.

use api::v1alpha1::etcd_service_server::EtcdService;
use api::v1alpha1::{BootstrapRequest, BootstrapResponse};
use tonic::{Request, Response, Status};

use super::Handlers;

#[tonic::async_trait]
impl EtcdService for Handlers {
    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapResponse>, Status> {
        self.backend.etcd.bootstrap().await?;
        Ok(Response::new(BootstrapResponse {}))
    }
}
