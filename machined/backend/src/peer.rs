//! The peer of a connection, and the caller of a method.

use std::net::SocketAddr;
use std::time::SystemTime;

use api::Role;
use pki::{Details, Fingerprint};
#[cfg(feature = "testing")]
use {
    pki::{NodeClock, ServerTls},
    std::sync::Arc,
};

use super::grant::Grant;

/// The peer of a connection, as of its handshake. The guard checks with each request whether that still holds.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Fingerprint of the CAs that it was verified with; none in maintenance mode.
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
    /// The role. A certificate without one allows nothing.
    pub role: Option<Role>,
    /// Start of the certificate's validity.
    pub not_before: SystemTime,
    /// End of the certificate's validity.
    pub not_after: SystemTime,
}

/// The caller of a request that the guard has allowed. Handlers find it in the request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The role, or none in maintenance mode.
    pub role: Option<Role>,
    /// Name and address, for the log.
    pub who: String,
    /// The conditions under which the guard allowed it.
    pub grant: Grant,
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

impl Caller {
    /// Returns a caller with a role, under the CA that a node serves with now.
    #[cfg(feature = "testing")]
    pub fn current(role: Option<Role>, tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        let peer = Peer {
            trust: tls.current().and_then(|serving| serving.trust),
            identity: None,
            address: None,
        };
        Self {
            role,
            who: peer.who(),
            grant: Grant::of(&peer, tls, clock),
        }
    }

    /// Returns whether secrets may be shown to the caller.
    pub fn sees_secrets(&self) -> bool {
        self.role == Some(Role::Admin)
    }
}
