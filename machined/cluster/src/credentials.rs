//! What a node's components show and trust: certificates, keys and authorities.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kubernetes::{Identity, Kind, Signer};
use machine_config::{MachineConfig, Secret};
use pki::{Authority, Certificate, PrivateKey, Purposes, Subject, Validity};
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

    /// Returns the certificate that an authority signs with, in PEM, and its private key.
    fn pair(&self, signer: Signer) -> (String, Secret) {
        let authority = self.of_signer(signer);
        (
            authority.certificate().to_pem(),
            Secret::new(authority.key_pem().as_str()),
        )
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

/// Tells whether a certificate must be made: there is none, it is for other names, half of its life is over, or another than
/// its authority signs now. Pure.
pub fn is_due(
    held: Option<&ComponentCertificate>,
    identity: &Identity,
    authorities: &Authorities,
    now: SystemTime,
) -> bool {
    held.is_none_or(|held| {
        let authority = authorities.of_signer(identity.signer).certificate();
        held.names != names(identity) || now >= renewal(held) || !authority.has_signed(&held.certificate)
    })
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

    /// Returns the certificates that are accepted as an authority's, in PEM and in an order of their own: which of them signs
    /// makes no difference to those who verify.
    pub(crate) fn accepted(&self, signer: Signer) -> Option<String> {
        let accepted = match self.authorities {
            Some(authorities) => authorities.of_signer(signer).certificate_pem(),
            None if signer == Signer::Kubernetes => self.ca,
            None => return None,
        };
        let Ok(all) = Certificate::all_from_pem(accepted, "the authority") else {
            return Some(accepted.to_owned());
        };
        let mut all: Vec<String> = all.iter().map(Certificate::to_pem).collect();
        all.sort();
        all.dedup();
        Some(all.concat())
    }

    /// Returns the certificate that an authority signs with, in PEM, and its private key.
    pub(crate) fn signing(&self, signer: Signer) -> Option<(String, Secret)> {
        self.authorities.map(|authorities| authorities.pair(signer))
    }

    /// Returns both halves of the key that signs the tokens of service accounts.
    pub(crate) fn tokens(&self) -> Option<(Secret, String)> {
        self.authorities.map(Authorities::tokens)
    }
}

#[cfg(test)]
mod tests {
    use pki::{KubernetesSecrets, Secrets};

    use super::*;

    fn authorities(secrets: &KubernetesSecrets, accepted: &Authority) -> Authorities {
        let text = [secrets.authority.certificate_pem(), accepted.certificate_pem()].concat();
        let copy = |text: &str, of: &Authority| Authority::from_pem(text, &of.key_pem(), "it").unwrap();
        let same = |of: &Authority| copy(of.certificate_pem(), of);
        Authorities {
            kubernetes: copy(&text, &secrets.authority),
            etcd: same(&secrets.etcd),
            front_proxy: same(&secrets.front_proxy),
            service_account: PrivateKey::generate_ecdsa().unwrap(),
        }
    }

    #[test]
    fn a_certificate_is_made_anew_at_half_of_its_life_for_other_names_and_by_another_authority() {
        let begin = SystemTime::now();
        let make = || Secrets::generate(begin).unwrap().kubernetes.unwrap();
        let (old, new) = (make(), make());
        let [own, next] =
            [(&old, &new), (&new, &old)].map(|(from, other)| authorities(from, &other.authority));
        let identity = kubernetes::identity::administrator("node1");
        let validity = Validity {
            not_before: begin,
            not_after: begin + Duration::from_secs(1000),
        };
        let held = own.sign(&identity, validity).unwrap();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(is_due(None, &identity, &own, at(0)));
        assert!(!is_due(Some(&held), &identity, &own, at(490)));
        assert!(is_due(Some(&held), &identity, &own, at(500)));
        let other = kubernetes::identity::administrator("node2");
        assert!(is_due(Some(&held), &other, &own, at(0)));
        assert!(
            is_due(Some(&held), &identity, &next, at(0)),
            "accepted, and not the one that signs"
        );

        let credentials = |authorities| Credentials {
            ca: "",
            authorities: Some(authorities),
            certificates: BTreeMap::new(),
        };
        let (own, next) = (credentials(&own), credentials(&next));
        for signer in Signer::ALL {
            let same = own.accepted(signer) == next.accepted(signer);
            assert_eq!(same, signer == Signer::Kubernetes, "{signer:?}");
        }
        let (certificate, _) = next.signing(Signer::Kubernetes).unwrap();
        assert_eq!(certificate, new.authority.certificate().to_pem());
    }
}
