//! Services for the API: their status, and requests to start, stop and restart them.

use std::time::Duration;

use api::v1alpha1::{ServiceHealth as ApiHealth, ServiceInfo, ServiceState as ApiState};
use async_trait::async_trait;
use backend::{BackendError, Services};
use node::Node;
use node::logs::uptime_ms;
use node::requests::{Requests, Unknown};
use state::kinds::{ServiceHealth, ServiceState, ServiceStatus};
use state::{Resource, Store};
use tokio::time::timeout;

/// How long a caller waits for a service to end: longer than most may take, shorter than the 60 s that the client gives it.
const PATIENCE: Duration = Duration::from_secs(45);

/// A handle that lists, starts and stops the services of a node. Clones are the same.
#[derive(Clone)]
pub struct ServicesHandle {
    store: Store,
    requests: Requests,
}

impl ServicesHandle {
    /// Makes a handle on the services of a node.
    pub fn new(node: &Node) -> Self {
        ServicesHandle {
            store: node.store.clone(),
            requests: node.services.clone(),
        }
    }
}

fn not_found(unknown: Unknown) -> BackendError {
    BackendError::NotFound(unknown.to_string())
}

#[async_trait]
impl Services for ServicesHandle {
    fn list(&self) -> Vec<ServiceInfo> {
        let now = uptime_ms();
        let all = self.store.list::<ServiceStatus>();
        all.into_iter()
            .map(|(name, status)| info(name, status, now))
            .collect()
    }

    async fn start(&self, name: &str) -> Result<(), BackendError> {
        Ok(self.requests.start(name).map_err(not_found)?)
    }

    async fn stop(&self, name: &str) -> Result<(), BackendError> {
        let mut changes = self.store.watch(&[ServiceStatus::KIND]);
        self.requests.stop(name).map_err(not_found)?;
        let stopped = async {
            while !self.is_stopped(name) {
                changes.changed().await;
            }
        };
        timeout(PATIENCE, stopped).await.map_err(|_| {
            let status = self.store.get::<ServiceStatus>(name);
            let message = status.map(|status| status.message).unwrap_or_default();
            BackendError::Unavailable(format!("service {name:?} has not ended yet: {message}"))
        })
    }

    async fn restart(&self, name: &str) -> Result<(), BackendError> {
        Ok(self.requests.restart(name).map_err(not_found)?)
    }
}

impl ServicesHandle {
    fn is_stopped(&self, name: &str) -> bool {
        let status = self.store.get::<ServiceStatus>(name);
        // One without a status has no supervisor, and so no process.
        status.is_none_or(|status| status.state == ServiceState::Stopped && !status.wanted)
    }
}

fn info(name: String, status: ServiceStatus, now_ms: u64) -> ServiceInfo {
    let state = match status.state {
        ServiceState::Waiting => ApiState::Waiting,
        ServiceState::Starting => ApiState::Starting,
        ServiceState::Running => ApiState::Running,
        ServiceState::Stopping => ApiState::Stopping,
        ServiceState::Stopped => ApiState::Stopped,
        ServiceState::Failed => ApiState::Failed,
    };
    let health = match status.health {
        ServiceHealth::Unknown => ApiHealth::Unspecified,
        ServiceHealth::Healthy => ApiHealth::Healthy,
        ServiceHealth::Unhealthy => ApiHealth::Unhealthy,
    };
    ServiceInfo {
        name,
        state: state.into(),
        health: health.into(),
        message: status.message,
        pid: status.pid.unwrap_or(0),
        restarts: status.restarts,
        state_ms: now_ms.saturating_sub(status.since_ms),
        memory_bytes: status.memory_bytes.unwrap_or(0),
        written_bytes: status.written_bytes.unwrap_or(0),
        written_last_hour_bytes: status.written_last_hour_bytes.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use service_definition::Service;

    use super::super::testing::{Bench, CONFIG};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stop_returns_when_the_service_is_stopped() {
        let bench = Bench::start(vec![Service::new("a", ["/a"])], Some(CONFIG)).await;
        bench
            .until("a", |status| status.state == ServiceState::Running)
            .await;
        let handle = ServicesHandle::new(&bench.node);
        let info = &handle.list()[0];
        assert_eq!((info.name.as_str(), info.state()), ("a", ApiState::Running));
        assert_eq!(info.health(), ApiHealth::Healthy);
        assert!(info.pid > 0);
        handle.stop("a").await.unwrap();
        assert_eq!(bench.host.running("a"), 0);
        handle.start("a").await.unwrap();
        bench
            .until("a", |status| status.state == ServiceState::Running)
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_end_is_reported() {
        let mut stubborn = Service::new("a", ["/a"]);
        stubborn.stop_seconds = 100;
        let bench = Bench::start(vec![stubborn], Some(CONFIG)).await;
        bench.host.make_stubborn("a");
        bench
            .until("a", |status| status.state == ServiceState::Running)
            .await;
        let error = ServicesHandle::new(&bench.node).stop("a").await.unwrap_err();
        let text = "service \"a\" has not ended yet: was asked to end";
        assert_eq!(error, BackendError::Unavailable(text.into()));
    }

    #[tokio::test]
    async fn unknown_services_are_not_found() {
        let bench = Bench::start(vec![Service::new("a", ["/a"])], None).await;
        let handle = ServicesHandle::new(&bench.node);
        let expected = BackendError::NotFound("service \"b\" not found; known: a".into());
        assert_eq!(handle.stop("b").await, Err(expected.clone()));
        assert_eq!(handle.start("b").await, Err(expected.clone()));
        assert_eq!(handle.restart("b").await, Err(expected));
    }
}
