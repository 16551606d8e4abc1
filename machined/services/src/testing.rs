//! A node whose services are played by a recording host.

use std::sync::Arc;
use std::time::Duration;

use machine_config::MachineConfig;
use node::Node;
use release_file::Release;
use service_definition::Service;
use state::Resource;
use state::kinds::{NODE, ServiceStatus};

use super::host::RecordingHost;
use super::supervisor::Supervisor;

/// A machine config that says nothing about services.
pub(crate) const CONFIG: &str = "{}";

/// Makes a machine config with these services.
pub(crate) fn config(services: &str) -> MachineConfig {
    let yaml = state::testkit::config().to_yaml_with_secrets().to_string();
    machine_config::parse(&yaml.replace("\nmachine:\n", &format!("\nmachine:\n  services: {services}\n")))
        .unwrap()
}

/// Services that run on a recording host.
pub(crate) struct Bench {
    pub node: Node,
    pub host: Arc<RecordingHost>,
    pub supervisor: Supervisor,
}

impl Bench {
    /// Starts services, with this `services:` of a machine config, or with none at all.
    pub async fn start(services: Vec<Service>, config: Option<&str>) -> Self {
        let node = Node::new(Release {
            services,
            ..Release::default()
        });
        let host = Arc::new(RecordingHost::default());
        let supervisor = Supervisor::start(&node, host.clone());
        let bench = Bench {
            node,
            host,
            supervisor,
        };
        if let Some(config) = config {
            bench.configure(config);
        }
        bench
    }

    /// Accepts a machine config.
    pub fn configure(&self, services: &str) {
        self.node.store.put("config", NODE, config(services)).unwrap();
    }

    /// Returns the status of a service.
    pub fn status(&self, name: &str) -> Option<ServiceStatus> {
        self.node.store.get(name)
    }

    /// Waits until the status of a service satisfies a condition.
    pub async fn until(&self, name: &str, condition: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        let mut watch = self.node.store.watch(&[ServiceStatus::KIND]);
        let found = async {
            loop {
                if let Some(status) = self.status(name).filter(&condition) {
                    return status;
                }
                watch.changed().await;
            }
        };
        let limit = Duration::from_secs(600);
        let found = tokio::time::timeout(limit, found).await;
        found.unwrap_or_else(|_| {
            panic!(
                "{name} is {:?}; calls: {:?}",
                self.status(name),
                self.host.calls()
            )
        })
    }
}
