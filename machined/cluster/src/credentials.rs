//! The certificates of a node's components.

use std::collections::BTreeMap;
use std::time::SystemTime;

use kubernetes::{Component, Identity, Kind, Signer};
use machine_config::{MachineConfig, Secret};
use pki::{Authority, Issued, NodeClock, PrivateKey, Purposes, Subject, Validity};

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

    /// Returns an authority's certificates in PEM.
    pub fn certificates(&self, signer: Signer) -> &str {
        self.of_signer(signer).certificate_pem()
    }

    /// Returns an authority's private key.
    pub(crate) fn key(&self, signer: Signer) -> Secret {
        Secret::new(self.of_signer(signer).key_pem().as_str())
    }

    /// Returns the private and the public half of the key that signs tokens.
    pub(crate) fn tokens(&self) -> (Secret, String) {
        let key = &self.service_account;
        (Secret::new(key.to_pem().as_str()), key.public_pem())
    }

    fn sign(&self, identity: &Identity, validity: Validity) -> Result<Issued, Error> {
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
        Ok(authority.issue_for(&subject, validity.within(authority.validity()))?)
    }
}

/// Certificates of components, each with its key.
#[derive(Debug, Default)]
pub struct Credentials {
    held: BTreeMap<(Kind, &'static str), Held>,
}

#[derive(Debug)]
struct Held {
    identity: Identity,
    issued: Issued,
}

impl Credentials {
    /// Makes what components need and is missing, has passed half of its life, or is for another name by now. Forgets what
    /// nobody needs. Tells whether anything changed.
    ///
    /// # Errors
    ///
    /// A certificate that cannot be made; those made before it are kept.
    pub fn renew(
        &mut self,
        components: &[Component],
        authorities: &Authorities,
        clock: &NodeClock,
        system: SystemTime,
    ) -> Result<bool, Error> {
        let now = clock.now(system);
        let needed = components.iter().flat_map(|component| {
            component
                .identities
                .iter()
                .map(|identity| (component.kind, identity))
        });
        let before = self.held.len();
        self.held.retain(|(kind, file), _| {
            let mut needed = needed.clone();
            needed.any(|(of, identity)| of == *kind && identity.file == *file)
        });
        let mut changed = self.held.len() != before;
        for (kind, identity) in needed {
            let held = self.held.get(&(kind, identity.file));
            if held.is_some_and(|held| held.identity == *identity && !held.is_old(now)) {
                continue;
            }
            let issued = authorities.sign(identity, clock.plan(system))?;
            let identity = identity.clone();
            self.held.insert((kind, identity.file), Held { identity, issued });
            changed = true;
        }
        Ok(changed)
    }

    /// Returns a certificate and its key.
    pub(crate) fn get(&self, kind: Kind, identity: &Identity) -> Option<(&str, Secret)> {
        let held = self.held.get(&(kind, identity.file))?;
        Some((&held.issued.pem, Secret::new(held.issued.key.to_pem().as_str())))
    }
}

impl Held {
    /// Tells whether half of its life is over.
    fn is_old(&self, now: SystemTime) -> bool {
        let details = self.issued.certificate.details();
        let life = details
            .not_after
            .duration_since(details.not_before)
            .unwrap_or_default();
        now >= details.not_before + life / 2
    }
}
