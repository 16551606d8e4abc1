//! The Kubernetes of the fake node.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use api::v1alpha1::KubeconfigResponse;
use async_trait::async_trait;
use backend::peer::Identity;
use backend::{BackendError, Kubernetes};
use pki::{Authority, Purposes, SigningRequest, Subject, Validity};

use super::FakeNode;

/// The authority of the fake cluster.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY
        .get_or_init(|| Authority::generate_ecdsa("Kubernetes", SystemTime::now()).expect("an authority"))
}

#[async_trait]
impl Kubernetes for FakeNode {
    async fn kubeconfig(
        &self,
        person: &Identity,
        request: &[u8],
        life: Option<Duration>,
    ) -> Result<KubeconfigResponse, BackendError> {
        if self.hostname.starts_with("worker") {
            return Err(BackendError::Refused(format!("{} is a worker", self.hostname)));
        }
        self.note(format!("kubeconfig for {} and {life:?}", person.name));
        let request =
            SigningRequest::from_der(request).map_err(|flaw| BackendError::Refused(flaw.to_string()))?;
        let subject = Subject {
            name: &person.name,
            organization: Some("system:masters"),
            alternative_names: &[],
            purposes: Purposes {
                client: true,
                server: false,
            },
        };
        let validity = Validity::starting(SystemTime::now(), life.unwrap_or(Duration::from_secs(86_400)));
        let signed = authority().sign(&request, &subject, validity);
        let (_, certificate) = signed.map_err(|error| BackendError::Internal(error.to_string()))?;
        let expires = validity.not_after.duration_since(SystemTime::UNIX_EPOCH);
        Ok(KubeconfigResponse {
            cluster: "home".into(),
            endpoint: "https://k8s.home.example:6443".into(),
            authority: authority().certificate_pem().into(),
            user: person.name.clone(),
            certificate,
            expires_unix: expires.unwrap_or_default().as_secs(),
        })
    }
}
