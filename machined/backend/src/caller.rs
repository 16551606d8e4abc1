//! The caller of a method.

use std::net::SocketAddr;

use api::Role;
#[cfg(feature = "testing")]
use {
    super::peer::Peer,
    pki::{NodeClock, ServerTls},
    std::sync::Arc,
};

use super::grant::Grant;
use super::peer::Identity;

/// The caller of a request that the guard has allowed. Handlers find it in the request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The role, or none in maintenance mode.
    pub role: Option<Role>,
    /// Name and address, for the log.
    pub who: String,
    /// The identity in its certificate; none in maintenance mode.
    pub identity: Option<Identity>,
    /// Where it calls from; only a test calls from nowhere.
    pub address: Option<SocketAddr>,
    /// The conditions under which the guard allowed it.
    pub grant: Grant,
}

impl Caller {
    /// Returns a caller with a role, under the first CA that a node accepts now.
    #[cfg(feature = "testing")]
    pub fn current(role: Option<Role>, tls: Arc<ServerTls>, clock: Arc<NodeClock>) -> Self {
        let peer = Peer {
            trust: tls.current().and_then(|serving| serving.trust.as_ref()?.first()),
            identity: None,
            address: None,
        };
        Self {
            role,
            who: peer.who(),
            identity: peer.identity.clone(),
            address: peer.address,
            grant: Grant::of(&peer, tls, clock),
        }
    }

    /// Returns whether secrets may be shown to the caller.
    pub fn sees_secrets(&self) -> bool {
        self.role == Some(Role::Admin)
    }
}
