//! The fake node's workloads: a camera that was rolled back.

use api::v1alpha1::{ServiceHealth, ServiceInfo, ServiceState, WorkloadInfo, WorkloadStage, WorkloadUsage};
use async_trait::async_trait;
use backend::{BackendError, Workloads};

use super::FakeNode;

impl FakeNode {
    fn workload(&self, verb: &str, name: &str) -> Result<(), BackendError> {
        if name != "camera" {
            return Err(BackendError::NotFound(format!(
                "workload {name:?} not found; known: camera"
            )));
        }
        self.note(format!("{verb} workload {name}"));
        Ok(())
    }
}

#[async_trait]
impl Workloads for FakeNode {
    fn list(&self) -> Vec<WorkloadInfo> {
        vec![WorkloadInfo {
            name: "camera".into(),
            stage: WorkloadStage::RolledBack.into(),
            image: "registry.example.org/camera:1.5".into(),
            running_image: "registry.example.org/camera:1.4".into(),
            running_digest: format!("sha256:{}", "ab".repeat(32)),
            problem: "was rolled back: ended with 1".into(),
            service: Some(ServiceInfo {
                name: "camera".into(),
                state: ServiceState::Running.into(),
                health: ServiceHealth::Healthy.into(),
                restarts: 3,
                ..ServiceInfo::default()
            }),
            usage: Some(WorkloadUsage {
                memory_bytes: 5 << 20,
                memory_limit_bytes: 64 << 20,
                cpu_ms: 90_000,
                pids: 7,
                out_of_memory_kills: 0,
            }),
        }]
    }

    async fn start(&self, name: &str) -> Result<(), BackendError> {
        self.workload("start", name)
    }

    async fn stop(&self, name: &str) -> Result<(), BackendError> {
        tokio::time::sleep(super::STOPPING).await;
        self.workload("stop", name)
    }

    async fn restart(&self, name: &str) -> Result<(), BackendError> {
        self.workload("restart", name)
    }
}
