//! What a node announces on its network, and what others do: the packets of multicast DNS (RFC 6762) and service discovery
//! (RFC 6763), without I/O.
//!
//! [`Announcement`] is what a node says, [`Announcement::reply`] its answer to a [`Query`], and [`read`] the only way in for
//! what anybody on the network sends. Each packet of a node holds all that it says, so an announcement is read from one
//! packet, and nothing is put together from several.

mod answer;
mod read;
mod records;
mod text;

use std::net::IpAddr;

use machine_config::value::HostName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use answer::{browse, legacy_browse};
pub use read::{News, Packet, Query, Response, read};

/// The port of multicast DNS.
pub const PORT: u16 = 5353;
/// The largest packet in bytes (RFC 6762, section 17).
pub const MAX_PACKET: usize = 9000;
/// The most addresses of an announcement that are read.
pub const MAX_ADDRESSES: usize = 8;
/// The longest label of a name in DNS, in bytes.
const MAX_LABEL: usize = 63;

/// What a node says about itself. Nothing of it is secret, and nothing of it is proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Its name on this network, one label. It is made of the node's name, and of a number where another machine has that.
    pub label: String,
    /// The node's name.
    pub node: HostName,
    /// The cluster that it is of; none without one.
    pub cluster: Option<ClusterTag>,
    /// What it is.
    pub role: NodeRole,
    /// The port of its API.
    pub port: u16,
    /// Its addresses, best first.
    pub addresses: Vec<IpAddr>,
}

/// What tells one cluster from another, without a hint at what it keeps secret: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterTag(String);

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeRole {
    /// It waits for a machine config.
    Maintenance,
    /// A node without a cluster.
    Standalone,
    /// A control plane.
    ControlPlane,
    /// A worker.
    Worker,
}

impl NodeRole {
    /// Every role with its word in a packet.
    const ALL: [(&'static str, Self); 4] = [
        ("maintenance", Self::Maintenance),
        ("standalone", Self::Standalone),
        ("control-plane", Self::ControlPlane),
        ("worker", Self::Worker),
    ];

    /// Returns its word in a packet.
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, role)| *role == self);
        found.map_or("", |(word, _)| word)
    }
}

impl ClusterTag {
    /// Makes the tag from what identifies the cluster.
    pub fn of(identity: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"bedplate cluster on the local network\0");
        hash.update(identity);
        Self(hex::encode(&hash.finalize()[..16]))
    }

    /// Reads a tag. Returns none if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(digit)).then(|| Self(text.to_owned()))
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the label of a node by its name, and by how many others had the labels before.
pub fn label(node: &HostName, taken: u32) -> String {
    let suffix = match taken {
        0 => String::new(),
        others => format!("-{}", others.saturating_add(1)),
    };
    let mut label: String = node.as_str().to_ascii_lowercase().replace('.', "-");
    label.truncate(MAX_LABEL - suffix.len());
    label + &suffix
}

/// Returns true for an address under which another machine may be reached.
pub fn is_usable(address: IpAddr) -> bool {
    let unusable = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !unusable
        && match address {
            IpAddr::V4(v4) => !v4.is_broadcast() && v4.octets()[0] != 0,
            IpAddr::V6(v6) => v6.to_ipv4_mapped().is_none(),
        }
}

#[cfg(test)]
mod tests;
