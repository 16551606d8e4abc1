//! The containers of the node.

use api::v1alpha1::container_service_server::ContainerService;
use api::v1alpha1::{ListContainersRequest, ListContainersResponse};
use tonic::{Request, Response, Status};

use super::{Handlers, blocking};

#[tonic::async_trait]
impl ContainerService for Handlers {
    async fn list(
        &self,
        _: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        let (host, mut listed) = (self.host.clone(), self.backend.containers.list().await?);
        let measured = blocking(move || {
            for container in listed.containers.iter_mut().filter(|container| container.pid > 0) {
                container.memory_bytes = host.charged_bytes(container.pid);
            }
            listed
        });
        Ok(Response::new(measured.await?))
    }
}
