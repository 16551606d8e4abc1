//! Signs for people: a certificate with which an administrator of the node may do everything in the cluster.
//!
//! It is short-lived, because nobody can take it back: Kubernetes knows no revocation. Whoever is an administrator of nodes
//! can have the next one at any time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::v1alpha1::KubeconfigResponse;
use async_trait::async_trait;
use backend::peer::Identity;
use backend::{BackendError, Kubernetes};
use kubernetes::identity::administrator;
use machine_config::MachineConfig;
use pki::kubernetes::{LONGEST_PERSON_LIFE, PERSON_LIFE};
use pki::{Authority, NodeClock, Purposes, SigningRequest, Subject, Validity};
use state::kinds::{ClusterMember, NODE};
use state::{Store, chain};

/// Signs with what the machine config of the node says at the time.
pub struct Persons {
    store: Store,
    clock: Arc<NodeClock>,
}

impl Persons {
    /// Signs for a node.
    pub fn new(store: Store, clock: Arc<NodeClock>) -> Self {
        Self { store, clock }
    }

    fn sign(
        &self,
        person: &Identity,
        request: &[u8],
        life: Option<Duration>,
    ) -> Result<KubeconfigResponse, BackendError> {
        let request = SigningRequest::from_der(request).map_err(|flaw| {
            BackendError::Invalid(vec![(
                "request".to_owned(),
                format!("the certificate request {flaw}"),
            )])
        })?;
        let config: Option<MachineConfig> = self.store.get(NODE);
        let cluster = config.as_ref().map(|config| &config.cluster);
        let parts = cluster.and_then(|cluster| cluster.ca.as_ref().zip(cluster.endpoint.as_ref()));
        let Some((ca, endpoint)) = parts else {
            return refused("the node runs no Kubernetes; add it to the machine config: bedplate gen config");
        };
        let Some(key) = &ca.key else {
            return refused("the node is a worker and cannot sign; name a control plane with --nodes");
        };
        let authority =
            Authority::from_pem(ca.cert.as_str(), key.expose(), "cluster.ca").map_err(internal)?;
        let validity = validity(self.clock.now(SystemTime::now()), SystemTime::now(), life, person);
        let identity = administrator(&person.name);
        let subject = Subject {
            name: &identity.name,
            organization: identity.organization.as_deref(),
            alternative_names: &[],
            purposes: Purposes {
                client: identity.client,
                server: identity.server,
            },
        };
        let validity = validity.within(authority.validity());
        let (made, certificate) = authority.sign(&request, &subject, validity).map_err(internal)?;
        let ends = made.details().not_after.duration_since(SystemTime::UNIX_EPOCH);
        let member: Option<ClusterMember> = self.store.get(NODE);
        let named = cluster
            .and_then(|cluster| cluster.name.as_ref())
            .map(ToString::to_string);
        Ok(KubeconfigResponse {
            cluster: member
                .map(|member| member.cluster)
                .or(named)
                .unwrap_or_else(|| "kubernetes".to_owned()),
            endpoint: endpoint.to_string(),
            authority: ca.cert.to_string(),
            user: person.name.clone(),
            certificate,
            expires_unix: ends.unwrap_or_default().as_secs(),
        })
    }
}

/// Decides when a person's certificate is valid. It ends with the one that the person came with. `known` is the time that has
/// certainly passed, `shown` what the clock shows, which may be behind or ahead while it follows no server. Pure.
fn validity(known: SystemTime, shown: SystemTime, life: Option<Duration>, person: &Identity) -> Validity {
    let life = life.unwrap_or(PERSON_LIFE).min(LONGEST_PERSON_LIFE);
    Validity {
        not_before: Validity::starting(known, life).not_before,
        not_after: (known.max(shown) + life).min(person.not_after),
    }
}

fn refused<T>(text: &str) -> Result<T, BackendError> {
    Err(BackendError::Refused(text.to_owned()))
}

fn internal(error: pki::Error) -> BackendError {
    BackendError::Internal(chain(&error))
}

#[async_trait]
impl Kubernetes for Persons {
    async fn kubeconfig(
        &self,
        person: &Identity,
        request: &[u8],
        life: Option<Duration>,
    ) -> Result<KubeconfigResponse, BackendError> {
        self.sign(person, request, life)
    }
}

#[cfg(test)]
mod tests {
    use pki::{Certificate, PrivateKey, Secrets};

    use super::*;

    fn person(name: &str, until: SystemTime) -> Identity {
        Identity {
            name: name.to_owned(),
            organizations: vec!["bedplate:admin".to_owned()],
            role: Some(api::Role::Admin),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: until,
        }
    }

    fn request(key: &PrivateKey) -> Vec<u8> {
        let subject = Subject {
            name: "whatever",
            organization: Some("anything"),
            alternative_names: &["elsewhere".to_owned()],
            purposes: Purposes::default(),
        };
        SigningRequest::make(&subject, key).unwrap()
    }

    #[test]
    fn a_certificate_names_who_asks_and_ends_with_the_one_that_was_shown() {
        let secrets = Secrets::generate(SystemTime::now()).unwrap();
        let authority = &secrets.kubernetes.as_ref().unwrap().authority;
        let store = Store::new();
        let config = crate::tests::bench::config(&secrets, "controlPlane", &secrets.token, "plane1");
        store.put("config", NODE, config).unwrap();
        let persons = Persons::new(store.clone(), Arc::new(NodeClock::trusting()));
        let key = PrivateKey::generate_ecdsa().unwrap();
        let now = SystemTime::now();
        let year = now + Duration::from_secs(365 * 86_400);
        let cases = [
            (None, year, PERSON_LIFE),
            (Some(Duration::from_secs(60)), year, Duration::from_secs(60)),
            (Some(Duration::MAX / 4), year, LONGEST_PERSON_LIFE),
            (None, now + Duration::from_secs(600), Duration::from_secs(600)),
        ];
        for (life, until, expected) in cases {
            let signed = persons.sign(&person("ann", until), &request(&key), life).unwrap();
            let made = Certificate::from_pem(&signed.certificate, "the test").unwrap();
            let details = made.details();
            assert_eq!(
                (details.name.as_str(), &details.organizations[..]),
                ("ann", &["system:masters".to_owned()][..])
            );
            assert!(details.alternative_names.is_empty() && !details.purposes.server);
            let left = details.not_after.duration_since(now).unwrap();
            assert!(
                left.abs_diff(expected) < Duration::from_secs(30),
                "{left:?} {expected:?}"
            );
            pki::Client::mutual(authority.certificate_pem(), &signed.certificate, &key.to_pem()).unwrap();
            assert_eq!(
                (signed.cluster.as_str(), signed.endpoint.as_str()),
                ("home", "https://127.0.0.1:6443")
            );
        }
        let garbage = persons.sign(&person("ann", year), b"garbage", None).unwrap_err();
        assert!(
            garbage.to_string().contains("is not a certificate request"),
            "{garbage}"
        );
        let worker = crate::tests::bench::config(&secrets, "worker", &secrets.token, "worker");
        store.put("config", NODE, worker).unwrap();
        let refused = persons
            .sign(&person("ann", year), &request(&key), None)
            .unwrap_err();
        assert!(
            refused.to_string().contains("name a control plane with --nodes"),
            "{refused}"
        );
    }
}
