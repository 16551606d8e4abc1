//! Who is at the other end of a connection, and who asks for something.

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

/// The other end of a connection, as its handshake left it. A connection keeps what it was then: the guard looks at
/// each request whether that still holds.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The authorities that vouched for it when the connection was made; none in maintenance mode.
    pub trust: Option<Fingerprint>,
    /// Who it is; none in maintenance mode.
    pub identity: Option<Identity>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
}

/// What a client certificate, checked by TLS, says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The holder's name.
    pub name: String,
    /// What the holder may do; a certificate may carry no role, and then lets nothing be done.
    pub role: Option<Role>,
    /// When the certificate starts to be valid.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
}

/// Who makes a request, once the guard has let it through. Handlers find it among the request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The role, or none in maintenance mode.
    pub role: Option<Role>,
    /// Name and address, for the log.
    pub who: String,
    /// Under what the guard let it through.
    pub grant: Grant,
}

impl Identity {
    /// Takes the identity out of a certificate. Of several roles the highest counts.
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
    /// Names the peer for the log.
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
    /// Makes a caller with a role, under the authority that a node serves with now.
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
