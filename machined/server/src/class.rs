//! What a connection may cost, by who is at its end.

use api::Role;
use backend::peer::Peer;

use crate::limits::{Bounds, Source};

/// Who is at the end of a connection, as far as its costs go. No class uses up what is meant for another: however many
/// strangers or readers there are, an admin finds a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Anybody, in maintenance mode; also a certificate without a role, whose calls are all refused.
    Stranger,
    /// Somebody who looks.
    Reader,
    /// Somebody who runs the node, and may push an upgrade.
    Operator,
    /// Somebody who decides what the node is.
    Admin,
}

/// What the connections of a class may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// Connections at a time; each costs some fifty kilobytes.
    pub(super) connections: Bounds,
    /// Calls at a time on one connection; each costs some twenty kilobytes, its request not counted.
    pub(super) calls: u32,
    /// Bytes that a client may send ahead, for one call and for a connection.
    pub(super) windows: (u32, u32),
    /// Kibibytes of requests, beyond what any call may have, that are in memory at a time.
    pub(super) requests: usize,
}

/// The least that HTTP/2 knows for a connection.
const SMALL_WINDOWS: (u32, u32) = (32 * 1024, 65_535);
/// Over a line of 100 ms a bundle is pushed at some 5 MB/s.
const LARGE_WINDOWS: (u32, u32) = (512 * 1024, 1024 * 1024);

impl Class {
    /// All classes, in the order of [`Class::index`].
    pub(super) const ALL: [Class; 4] = [Class::Stranger, Class::Reader, Class::Operator, Class::Admin];

    /// Tells the class of a peer.
    pub(super) fn of(peer: &Peer) -> Self {
        Self::of_role(peer.identity.as_ref().and_then(|identity| identity.role))
    }

    /// Tells the class of those with a role.
    pub(super) fn of_role(role: Option<Role>) -> Self {
        match role {
            None => Class::Stranger,
            Some(Role::Reader) => Class::Reader,
            Some(Role::Operator) => Class::Operator,
            Some(Role::Admin) => Class::Admin,
        }
    }

    /// Returns its place among all classes.
    pub(super) fn index(self) -> usize {
        match self {
            Class::Stranger => 0,
            Class::Reader => 1,
            Class::Operator => 2,
            Class::Admin => 3,
        }
    }

    /// Returns what its connections may cost.
    pub(super) fn cost(self) -> Cost {
        match self {
            // One machine config of the largest size at a time. With fewer places than sources that come, newcomers would
            // throw each other out.
            Class::Stranger => Cost {
                connections: Bounds { all: 24, each: 6 },
                calls: 2,
                windows: SMALL_WINDOWS,
                requests: 1100,
            },
            // What readers may call takes small requests only.
            Class::Reader => Cost {
                connections: Bounds { all: 24, each: 8 },
                calls: 8,
                windows: SMALL_WINDOWS,
                requests: 0,
            },
            Class::Operator => Cost {
                connections: Bounds { all: 16, each: 12 },
                calls: 16,
                windows: LARGE_WINDOWS,
                requests: 4400,
            },
            Class::Admin => Cost {
                connections: Bounds { all: 24, each: 16 },
                calls: 32,
                windows: LARGE_WINDOWS,
                requests: 4400,
            },
        }
    }
}

/// What connections of a class are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// The name in a certificate.
    Name(String),
    /// An address, where there is no name.
    Source(Source),
    /// Nothing is known; only a test connects without an address.
    Nobody,
}

impl Holder {
    /// Tells by what a peer's connections are counted.
    pub(super) fn of(peer: &Peer) -> Self {
        match (&peer.identity, peer.address) {
            (Some(identity), _) => Holder::Name(identity.name.clone()),
            (None, Some(address)) => Holder::Source(address.ip().into()),
            (None, None) => Holder::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_its_index_and_room_for_several_holders() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            let Bounds { all, each } = class.cost().connections;
            assert!(each < all, "{class:?}: one holder cannot hold all places");
        }
    }

    /// The sum is what a node spends on connections at worst.
    #[test]
    fn all_classes_together_are_bounded() {
        let all: usize = Class::ALL.map(|class| class.cost().connections.all).iter().sum();
        assert!(all <= 88, "{all} connections");
    }
}
