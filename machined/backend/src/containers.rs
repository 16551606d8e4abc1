//! The interface of the part that knows the containers.

use api::v1alpha1::ListContainersResponse;
use async_trait::async_trait;

use super::BackendError;

/// The containers of the node.
#[async_trait]
pub trait Containers: Send + Sync {
    /// Lists all. The server fills in `memory_bytes`.
    async fn list(&self) -> Result<ListContainersResponse, BackendError>;
}
