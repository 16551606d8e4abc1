//! The nodes of the cluster, for calls that go through this one.

use std::net::{IpAddr, SocketAddr};

use super::BackendError;

/// What this node knows of the nodes of its cluster. Answers at once, from memory.
pub trait Peers: Send + Sync {
    /// Returns where the API of a node is, best first, by its name or one of its addresses.
    ///
    /// # Errors
    ///
    /// A node that the cluster does not have; names those that it has.
    fn find(&self, node: &str) -> Result<Vec<SocketAddr>, BackendError>;

    /// Tells whether an address is this node's, or that of another node of the cluster.
    fn is_node(&self, address: IpAddr) -> bool;
}
