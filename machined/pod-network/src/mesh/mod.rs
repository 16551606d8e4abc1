//! The encrypted mesh between nodes: an interface of WireGuard to all others.
//!
//! Each node makes its own key (`key`), names the public one in its Node object, and sends what goes to the pods of others
//! through the mesh where a route says so. What the kernel is told is decided by `update`, and told by `wireguard`.

mod controller;
mod key;
mod update;
mod wireguard;

use std::net::SocketAddr;

use machine_config::v1alpha1;
use machine_config::value::IpPrefix;

pub use controller::Mesh;
pub(crate) use key::Key;
pub use update::Update;
pub use wireguard::{Tunnel, TunnelError, WireGuard};

/// The interface.
pub(crate) const INTERFACE: &str = "wg-mesh";
/// The UDP port of every node's end.
pub(crate) const PORT: u16 = 51820;
/// What WireGuard needs of each packet, with an outer header of IPv6.
const OVERHEAD: u32 = 80;
/// The least that IPv6 needs.
const LEAST_MTU: u32 = 1280;

/// The other end of the mesh at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub(crate) key: Key,
    /// Where it is.
    pub(crate) endpoint: SocketAddr,
    /// The networks of its pods.
    pub(crate) allowed: Vec<IpPrefix>,
    /// Set when it is in another network: address translation on the way is kept open.
    pub(crate) far: bool,
}

/// Returns the largest packet of pods in bytes, where that of the node's own interface is this.
pub(crate) fn mtu(mesh: v1alpha1::Mesh, link: u32) -> u32 {
    match mesh {
        v1alpha1::Mesh::None => link,
        _ => link.saturating_sub(OVERHEAD).max(LEAST_MTU),
    }
}
