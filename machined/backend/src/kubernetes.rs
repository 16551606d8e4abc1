//! The interface of the part that signs for people.

use std::time::Duration;

use api::v1alpha1::KubeconfigResponse;
use async_trait::async_trait;

use super::BackendError;
use super::peer::Identity;

/// The Kubernetes of a control plane.
#[async_trait]
pub trait Kubernetes: Send + Sync {
    /// Signs a certificate request (PKCS #10, in DER) for a person who is an administrator of the node, for so long or a day.
    async fn kubeconfig(
        &self,
        person: &Identity,
        request: &[u8],
        life: Option<Duration>,
    ) -> Result<KubeconfigResponse, BackendError>;
}
