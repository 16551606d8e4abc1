//! The Kubernetes of a control plane.

use std::time::Duration;

use api::v1alpha1::kubernetes_service_server::KubernetesService;
use api::v1alpha1::{KubeconfigRequest, KubeconfigResponse};
use tonic::{Request, Response, Status};

use super::{Handlers, caller};

#[tonic::async_trait]
impl KubernetesService for Handlers {
    async fn kubeconfig(
        &self,
        request: Request<KubeconfigRequest>,
    ) -> Result<Response<KubeconfigResponse>, Status> {
        let person = caller(&request)?.identity;
        let person = person.ok_or_else(|| Status::unauthenticated("a client certificate is required"))?;
        let KubeconfigRequest {
            request,
            lifetime_seconds,
        } = request.into_inner();
        let life = (lifetime_seconds > 0).then(|| Duration::from_secs(lifetime_seconds));
        let signed = self
            .backend
            .kubernetes
            .kubeconfig(&person, &request, life)
            .await?;
        Ok(Response::new(signed))
    }
}
