//! What a node's components show and trust: certificates, keys and authorities.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubernetes::{Identity, Kind, Signer};
use machine_config::{MachineConfig, Secret};
use pki::{Authority, PrivateKey, Purposes, Subject, Validity};
use state::Store;
use state::kinds::ComponentCertificate;

/// The component of machined's own certificates.
pub const AGENT: &str = "bedplate";

/// A control plane's authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign certificates of the cluster")]
pub struct Error(#[from] pki::Error);

/// What a control plane signs with.
#[derive(Debug)]
pub struct Authorities {
    kubernetes: Authority,
    etcd: Authority,
    front_proxy: Authority,
    service_account: PrivateKey,
}

impl Authorities {
    /// Reads those of a machine config. Returns none where it holds none: on workers, and outside of clusters.
    ///
    /// # Errors
    ///
    /// Certificates and keys that do not fit together.
    pub fn of(config: &MachineConfig) -> Result<Option<Self>, Error> {
        let cluster = &config.cluster;
        let (Some(ca), Some(secrets)) = (&cluster.ca, &cluster.secrets) else {
            return Ok(None);
        };
        let read = |ca: &machine_config::v1alpha1::CertificateAuthority, what| {
            let key = ca.key.as_ref().map_or("", Secret::expose);
            Authority::from_pem(ca.cert.as_str(), key, what)
        };
        let service_account = secrets.service_account_key.expose();
        Ok(Some(Self {
            kubernetes: read(ca, "cluster.ca")?,
            etcd: read(&secrets.etcd_ca, "cluster.secrets.etcdCA")?,
            front_proxy: read(&secrets.front_proxy_ca, "cluster.secrets.frontProxyCA")?,
            service_account: PrivateKey::from_pem(service_account, "cluster.secrets.serviceAccountKey")?,
        }))
    }

    fn of_signer(&self, signer: Signer) -> &Authority {
        match signer {
            Signer::Kubernetes => &self.kubernetes,
            Signer::Etcd => &self.etcd,
            Signer::FrontProxy => &self.front_proxy,
        }
    }

    /// Returns when the last of them began: that much time has certainly passed.
    pub fn begin(&self) -> SystemTime {
        let all = Signer::ALL.map(|signer| self.of_signer(signer).validity().not_before);
        all.into_iter().max().unwrap_or(UNIX_EPOCH)
    }

    /// Returns an authority's certificates in PEM.
    fn certificates(&self, signer: Signer) -> &str {
        self.of_signer(signer).certificate_pem()
    }

    /// Returns an authority's private key.
    fn key(&self, signer: Signer) -> Secret {
        Secret::new(self.of_signer(signer).key_pem().as_str())
    }

    /// Returns the private and the public half of the key that signs tokens.
    fn tokens(&self) -> (Secret, String) {
        let key = &self.service_account;
        (Secret::new(key.to_pem().as_str()), key.public_pem())
    }

    /// Makes a certificate for an identity, with a new key.
    ///
    /// # Errors
    ///
    /// A certificate that cannot be made.
    pub fn sign(&self, identity: &Identity, validity: Validity) -> Result<ComponentCertificate, Error> {
        let subject = Subject {
            name: &identity.name,
            organization: identity.organization.as_deref(),
            alternative_names: &identity.alternative_names,
            purposes: Purposes {
                client: identity.client,
                server: identity.server,
            },
        };
        let authority = self.of_signer(identity.signer);
        let issued = authority.issue_for(&subject, validity.within(authority.validity()))?;
        let details = issued.certificate.details();
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(ComponentCertificate {
            certificate: issued.pem.clone(),
            key: Secret::new(issued.key.to_pem().as_str()),
            names: names(identity),
            not_before: seconds(details.not_before),
            not_after: seconds(details.not_after),
        })
    }
}

/// Returns whom and what a certificate of an identity names, in order.
pub fn names(identity: &Identity) -> Vec<String> {
    let organization = identity.organization.iter().map(|name| format!("O={name}"));
    std::iter::once(format!("CN={}", identity.name))
        .chain(organization)
        .chain(identity.alternative_names.iter().cloned())
        .collect()
}

/// Returns the name of a component's certificate in the store.
pub fn id(component: &str, identity: &Identity) -> String {
    format!("{component}/{}", identity.file)
}

/// Tells whether a certificate must be made: there is none, it is for other names, or half of its life is over. Pure.
pub fn is_due(held: Option<&ComponentCertificate>, identity: &Identity, now: SystemTime) -> bool {
    held.is_none_or(|held| held.names != names(identity) || now >= renewal(held))
}

/// Returns when a certificate is to be renewed: after half of its life.
pub fn renewal(held: &ComponentCertificate) -> SystemTime {
    let life = held.not_after.saturating_sub(held.not_before);
    UNIX_EPOCH + Duration::from_secs(held.not_before + life / 2)
}

/// Everything that the services of a node's components are made from, beside the components themselves.
pub struct Credentials<'a> {
    /// The authority of Kubernetes that the node trusts, in PEM.
    pub ca: &'a str,
    /// On a control plane, what it signs with.
    pub authorities: Option<&'a Authorities>,
    /// The certificates that the node has, by their names in the store.
    pub certificates: BTreeMap<String, ComponentCertificate>,
}

impl<'a> Credentials<'a> {
    /// Takes the certificates that the store holds.
    pub fn of_store(store: &Store, ca: &'a str, authorities: Option<&'a Authorities>) -> Self {
        Self {
            ca,
            authorities,
            certificates: store.list().into_iter().collect(),
        }
    }

    /// Returns a component's certificate.
    pub(crate) fn get(&self, kind: Kind, identity: &Identity) -> Option<&ComponentCertificate> {
        self.certificates.get(&id(kind.name(), identity))
    }

    /// Returns the certificates of an authority, in PEM.
    pub(crate) fn authority(&self, signer: Signer) -> Option<&str> {
        match self.authorities {
            Some(authorities) => Some(authorities.certificates(signer)),
            None => (signer == Signer::Kubernetes).then_some(self.ca),
        }
    }

    /// Returns the private key of an authority.
    pub(crate) fn authority_key(&self, signer: Signer) -> Option<Secret> {
        self.authorities.map(|authorities| authorities.key(signer))
    }

    /// Returns both halves of the key that signs the tokens of service accounts.
    pub(crate) fn tokens(&self) -> Option<(Secret, String)> {
        self.authorities.map(Authorities::tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_anew_at_half_of_its_life_and_for_other_names() {
        let node: kubernetes::NodeName = "node1".parse().unwrap();
        let identity = kubernetes::identity::administrator(node.as_str());
        let held = ComponentCertificate {
            certificate: String::new(),
            key: Secret::new(""),
            names: names(&identity),
            not_before: 1000,
            not_after: 2000,
        };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(is_due(None, &identity, at(0)));
        assert!(!is_due(Some(&held), &identity, at(1499)));
        assert!(is_due(Some(&held), &identity, at(1500)));
        let other = kubernetes::identity::administrator("node2");
        assert!(is_due(Some(&held), &other, at(1000)));
    }
}
