//! The fake node's containers: a pod of one, and its sandbox, whose process is that of the test.

use api::v1alpha1::{Container, ListContainersResponse};
use async_trait::async_trait;
use backend::{BackendError, Containers};

use super::FakeNode;

#[async_trait]
impl Containers for FakeNode {
    async fn list(&self) -> Result<ListContainersResponse, BackendError> {
        let sandbox = Container {
            namespace: "k8s.io".into(),
            id: "ab".repeat(32),
            image: "localhost/bedplate/pause:1".into(),
            state: "running".into(),
            pod: "shop/web-1".into(),
            sandbox: true,
            pid: std::process::id(),
            ..Container::default()
        };
        let ended = Container {
            id: "cd".repeat(32),
            name: "nginx".into(),
            image: "registry/nginx:1".into(),
            state: "stopped".into(),
            sandbox: false,
            pid: 0,
            exit_code: 137,
            ..sandbox.clone()
        };
        Ok(ListContainersResponse {
            containers: vec![sandbox, ended],
            omitted: 0,
        })
    }
}
