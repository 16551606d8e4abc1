//! What a node announces, and on which interfaces. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use announcement::{Announcement, ClusterTag, NodeRole, is_usable};
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use machine_config::value::{HostName, IpPrefix};
use state::kinds::{AddressStatus, ClusterMember, ClusterPeer, LinkKind, LinkStatus};

use crate::peers::MOST;

/// Interfaces of these drivers lead to nodes, or to pods, of this one's own.
const INNER: [&str; 8] = [
    "bridge",
    "dummy",
    "geneve",
    "ifb",
    "tun",
    "vxlan",
    "wireguard",
    "sit",
];

/// What a task on an interface needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What the node says there; none if nothing.
    pub announcement: Option<Announcement>,
    /// The cluster whose nodes it looks for.
    pub cluster: Option<ClusterTag>,
    /// Networks that whoever speaks there is in.
    pub networks: Vec<IpPrefix>,
    /// All addresses of the node: what comes from them is its own.
    pub own: Vec<IpAddr>,
}

/// What is known about the node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub config: Option<&'a MachineConfig>,
    pub member: Option<&'a ClusterMember>,
    pub hostname: &'a HostName,
    pub links: &'a [(String, LinkStatus)],
    pub managed: &'a [String],
    pub addresses: &'a [AddressStatus],
}

/// Returns what tells the node's cluster from others; none without a cluster.
pub(crate) fn cluster_of(config: &MachineConfig) -> Result<Option<ClusterTag>, pki::Error> {
    if config.machine.role == Role::Standalone {
        return Ok(None);
    }
    Ok(Some(match &config.cluster.id {
        Some(id) => ClusterTag::of(id.as_str().as_bytes()),
        // Authorities may change during the life of a cluster: the identity goes before.
        None => ClusterTag::of(
            pki::trust_in(config.machine.ca.cert.as_str())?
                .to_string()
                .as_bytes(),
        ),
    }))
}

/// Decides what a node says on each of its interfaces, by the interfaces' numbers and names.
pub(crate) fn facts(known: &Known<'_>) -> Result<BTreeMap<(String, u32), Facts>, pki::Error> {
    if known.config.is_some_and(|config| !config.cluster.discovery.mdns) {
        return Ok(BTreeMap::new());
    }
    let cluster = known.config.map(cluster_of).transpose()?.flatten();
    let role = match known.config.map(|config| config.machine.role) {
        None => NodeRole::Maintenance,
        Some(Role::Standalone) => NodeRole::Standalone,
        Some(Role::ControlPlane) => NodeRole::ControlPlane,
        Some(Role::Worker) => NodeRole::Worker,
    };
    let own: Vec<IpAddr> = known
        .addresses
        .iter()
        .map(|found| found.address.address)
        .collect();
    let name = known.member.and_then(|member| member.node.parse().ok());
    let node = name.unwrap_or_else(|| known.hostname.clone());
    let mut facts = BTreeMap::new();
    for (link, status) in known.links {
        if !known.managed.contains(link) || !leads_outside(status) {
            continue;
        }
        let here = known.addresses.iter().filter(|found| found.link == *link);
        let networks: Vec<IpPrefix> = here.map(|found| found.address).collect();
        let addresses = announced(known, &networks);
        let announcement = (!addresses.is_empty()).then(|| Announcement {
            label: String::new(),
            node: node.clone(),
            cluster: cluster.clone(),
            role,
            port: api::PORT,
            addresses,
        });
        let fact = Facts {
            announcement,
            cluster: cluster.clone(),
            networks,
            own: own.clone(),
        };
        facts.insert((link.clone(), status.index), fact);
    }
    Ok(facts)
}

fn leads_outside(status: &LinkStatus) -> bool {
    let outside = match &status.kind {
        LinkKind::Loopback => false,
        LinkKind::Virtual { driver } => !INNER.contains(&driver.as_str()),
        LinkKind::Ethernet | LinkKind::Other => true,
    };
    outside && status.up && status.carrier
}

/// Lists the addresses of an interface that others are told, best first: never the virtual one, which moves.
fn announced(known: &Known<'_>, networks: &[IpPrefix]) -> Vec<IpAddr> {
    let moving = known.config.and_then(|config| config.cluster.virtual_ip);
    let mut addresses: Vec<IpAddr> = networks
        .iter()
        .map(|network| network.address)
        .filter(|address| is_usable(*address) && Some(*address) != moving)
        .collect();
    if addresses.iter().any(|address| !is_link_local(*address)) {
        addresses.retain(|address| !is_link_local(*address));
    }
    let members = known
        .member
        .map(|member| member.addresses.as_slice())
        .unwrap_or_default();
    addresses.sort_by_key(|address| (!members.contains(address), address.is_ipv6()));
    addresses.truncate(announcement::MAX_ADDRESSES);
    addresses
}

pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Makes peers of what was heard on all interfaces: each node once, and those addresses first that are in a network of the
/// node's own.
pub(crate) fn peers<'a>(
    me: &str,
    own: &[IpPrefix],
    heard: impl Iterator<Item = &'a Announcement>,
) -> Vec<(String, ClusterPeer)> {
    let mut all: BTreeMap<String, ClusterPeer> = BTreeMap::new();
    for said in heard.filter(|said| said.node.as_str() != me) {
        let name = said.node.as_str();
        if all.len() >= MOST && !all.contains_key(name) {
            continue;
        }
        let peer = all.entry(name.to_owned()).or_insert_with(|| ClusterPeer {
            node: name.to_owned(),
            control_plane: false,
            addresses: Vec::new(),
        });
        peer.control_plane |= said.role == NodeRole::ControlPlane;
        for address in &said.addresses {
            // A link-local one says nothing without its interface.
            let fine = !is_link_local(*address) && !peer.addresses.contains(address);
            if fine && peer.addresses.len() < announcement::MAX_ADDRESSES {
                peer.addresses.push(*address);
            }
        }
    }
    all.retain(|_, peer| !peer.addresses.is_empty());
    for peer in all.values_mut() {
        let far = |address: &IpAddr| !own.iter().any(|network| network.network().contains(*address));
        peer.addresses.sort_by_key(far);
    }
    all.into_iter()
        .map(|(name, peer)| (format!("mdns/{name}"), peer))
        .collect()
}

#[cfg(test)]
mod tests;
