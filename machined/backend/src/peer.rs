//! The peer of a connection.

use std::net::SocketAddr;
use std::time::SystemTime;

use api::Role;
use pki::{Details, Fingerprint};

/// The peer of a connection, as of its handshake. The guard checks with each request whether that still holds.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Fingerprint of the CA that vouches for it; none in maintenance mode.
    pub trust: Option<Fingerprint>,
    /// The identity in its certificate; none in maintenance mode.
    pub identity: Option<Identity>,
    /// Its address.
    pub address: Option<SocketAddr>,
}

/// The identity in a client certificate that TLS has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Common name.
    pub name: String,
    /// Organizations, as they stand in the certificate.
    pub organizations: Vec<String>,
    /// The role. A certificate without one allows nothing.
    pub role: Option<Role>,
    /// Start of the certificate's validity.
    pub not_before: SystemTime,
    /// End of the certificate's validity.
    pub not_after: SystemTime,
}

impl Identity {
    /// Returns the identity in a certificate. Of several roles the highest counts.
    pub fn of(details: &Details) -> Self {
        let roles = details
            .organizations
            .iter()
            .filter_map(|entry| Role::from_organization(entry));
        Self {
            name: details.name.clone(),
            organizations: details.organizations.clone(),
            role: roles.max(),
            not_before: details.not_before,
            not_after: details.not_after,
        }
    }
}

impl Peer {
    /// Returns name and address of the peer, for the log.
    pub fn who(&self) -> String {
        let name = self
            .identity
            .as_ref()
            .map_or("anybody", |identity| identity.name.as_str());
        match self.address {
            Some(address) => format!("{name:?} at {}", address.ip().to_canonical()),
            None => format!("{name:?}"),
        }
    }
}
