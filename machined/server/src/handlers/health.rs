//! The standard health service (`grpc.health.v1`): the node's own health, in the words of load balancers.

use std::pin::Pin;

use futures::Stream;
use state::Resource as _;
use state::kinds::HealthStatus;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Handlers;

/// The services of the API by their full names: they serve for as long as they answer.
const SERVICES: &str = "bedplate.v1alpha1.";

impl Handlers {
    /// Says whether a service serves. The one without a name is the node as a whole.
    fn serving(&self, service: &str) -> Option<ServingStatus> {
        if service.is_empty() {
            let health = self.backend.machine.status().health.unwrap_or_default();
            return Some(if health.healthy {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            });
        }
        let known = service.starts_with(SERVICES) && api::methods_of(service).next().is_some();
        known.then_some(ServingStatus::Serving)
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for Handlers {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let serving = self.serving(&service);
        let serving = serving.ok_or_else(|| Status::not_found(format!("there is no service {service:?}")))?;
        Ok(Response::new(answer(serving)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let watch = self.store.watch(&[HealthStatus::KIND]);
        let start = (self.clone(), watch, service, None);
        let told = futures::stream::unfold(start, |(handlers, mut watch, service, last)| async move {
            loop {
                // The protocol's word for a name that may come to be known.
                let now = handlers
                    .serving(&service)
                    .unwrap_or(ServingStatus::ServiceUnknown);
                if last != Some(now) {
                    return Some((Ok(answer(now)), (handlers, watch, service, Some(now))));
                }
                watch.changed().await;
            }
        });
        Ok(Response::new(Box::pin(told)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use pki::{Authority, Client};
    use state::kinds::{HealthState, NODE};
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::testing::{TestServer, connect};

    #[tokio::test]
    async fn the_node_serves_while_it_is_well_and_its_services_while_they_answer() {
        let authority = Authority::generate("home", SystemTime::now()).unwrap();
        let serving = crate::tests::serving(&authority);
        let server = TestServer::start("node1", serving).await.unwrap();
        let validity = pki::Validity::starting(SystemTime::now(), pki::authority::CLIENT_LIFE);
        let ann = authority
            .issue_client("ann", api::Role::Reader.organization(), validity)
            .unwrap();
        let client = Client::mutual(authority.certificate_pem(), &ann.pem, &ann.key.to_pem()).unwrap();
        let channel = connect(server.address, &client).await.unwrap();
        let ask = async |service: &str| {
            let service = service.to_owned();
            let answer = HealthClient::new(channel.clone())
                .check(HealthCheckRequest { service })
                .await;
            answer.map(|answer| answer.into_inner().status())
        };
        let mut watch = HealthClient::new(channel.clone())
            .watch(HealthCheckRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut next = async || watch.message().await.unwrap().unwrap().status();
        assert_eq!(next().await, ServingStatus::Serving);

        let degraded = HealthState::Degraded;
        server
            .node
            .set_problem("storage", degraded, "DATA is only in memory");
        assert_eq!(
            ask("").await.unwrap(),
            ServingStatus::Serving,
            "it does what it should"
        );

        let unhealthy = HealthState::Unhealthy;
        server
            .node
            .set_problem("services", unhealthy, "unhealthy: containerd");
        server.store.put("health", NODE, HealthStatus::default()).unwrap();
        assert_eq!(ask("").await.unwrap(), ServingStatus::NotServing);
        assert_eq!(next().await, ServingStatus::NotServing);
        let machine = "bedplate.v1alpha1.MachineService";
        assert_eq!(ask(machine).await.unwrap(), ServingStatus::Serving);
        for unknown in [
            "bedplate.v1alpha1.",
            "bedplate.v1alpha1.Machine",
            "grpc.health.v1.Health",
        ] {
            assert_eq!(
                ask(unknown).await.unwrap_err().code(),
                tonic::Code::NotFound,
                "{unknown}"
            );
        }
    }
}
