//! Whom a node trusts as etcd, and what it shows.

use machine_config::MachineConfig;
use pki::Client;
use state::Store;
use state::kinds::{ComponentCertificate, NODE};

/// The certificate that a control plane's agent shows to etcd.
const CERTIFICATE: &str = "bedplate/etcd";

/// The reason why a node cannot speak to etcd yet.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// Only control planes have what it takes.
    #[error("the node has no authority of etcd: it is no control plane of a cluster")]
    NoAuthority,
    /// The certificate is not issued yet.
    #[error("the node's certificate for etcd is not issued yet")]
    NoCertificate,
    /// They cannot be used.
    #[error("the node's certificate for etcd cannot be used")]
    Unusable(#[from] pki::Error),
}

/// Whom a node trusts as etcd, and what it shows.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(crate) client: Client,
}

impl Credentials {
    /// Reads them from the store. They are short-lived: read them again for each connection.
    ///
    /// # Errors
    ///
    /// The reason why there are none.
    pub fn of_store(store: &Store) -> Result<Self, NotReady> {
        let config: Option<MachineConfig> = store.get(NODE);
        let secrets = config.and_then(|config| config.cluster.secrets);
        let authority = secrets.ok_or(NotReady::NoAuthority)?.etcd_ca;
        let held: ComponentCertificate = store.get(CERTIFICATE).ok_or(NotReady::NoCertificate)?;
        Self::new(authority.cert.as_str(), &held.certificate, held.key.expose())
    }

    /// Makes them from an authority, a certificate and its key, in PEM.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(authority: &str, certificate: &str, key: &str) -> Result<Self, NotReady> {
        let client = Client::mutual(authority, certificate, key)?;
        Ok(Self { client })
    }
}
