//! The interface of the part that brings a control plane's etcd to the others.

use async_trait::async_trait;

use super::BackendError;

/// The etcd of a control plane.
#[async_trait]
pub trait Etcd: Send + Sync {
    /// Begins a new cluster on this node. Returns once the request is on the disk: no power cut forgets it.
    async fn bootstrap(&self) -> Result<(), BackendError>;
}
