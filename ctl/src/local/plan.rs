//! Decides which nodes a cluster has, and where. Pure.

use std::net::Ipv4Addr;

use machine_config::v1alpha1::Role;
use serde::{Deserialize, Serialize};

/// The host number of the first node: those before it are for gateways.
const FIRST: u32 = 10;
/// The most nodes of one cluster.
pub const MOST: usize = 64;

/// A node of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// Set when it is a control plane.
    pub control_plane: bool,
    /// Its address in the network of the cluster.
    pub address: Ipv4Addr,
    /// Where it is reached from this host, if not at its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
}

/// Ports on loopback that lead to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forwarded {
    /// To its API.
    pub api: u16,
    /// To the API server of Kubernetes, on control planes.
    pub kubernetes: u16,
}

impl Node {
    /// Returns where its API is reached from this host.
    pub fn api(&self) -> String {
        match self.forwarded {
            Some(forwarded) => format!("127.0.0.1:{}", forwarded.api),
            None => self.address.to_string(),
        }
    }

    /// Returns where the API server of Kubernetes is reached from this host.
    pub fn kubernetes(&self) -> String {
        match self.forwarded {
            Some(forwarded) => format!("https://127.0.0.1:{}", forwarded.kubernetes),
            None => format!("https://{}:6443", self.address),
        }
    }

    /// Returns its role in the cluster.
    pub fn role(&self) -> Role {
        match self.control_plane {
            true => Role::ControlPlane,
            false => Role::Worker,
        }
    }
}

/// Says why there can be no such cluster.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Nobody would decide anything.
    #[error("a cluster needs a control plane: give --control-planes 1 or more")]
    NoControlPlane,
    /// It is too large.
    #[error("a local cluster has {MOST} nodes at most, not {0}")]
    TooMany(usize),
    /// There is no room in its network.
    #[error("the network {network} has no room for {nodes} nodes")]
    NoRoom {
        /// The network.
        network: String,
        /// How many nodes.
        nodes: usize,
    },
}

/// Checks how many nodes there are to be.
///
/// # Errors
/// A cluster without a control plane, or one that is too large.
pub fn check(control_planes: usize, workers: usize) -> Result<(), PlanError> {
    let nodes = control_planes.saturating_add(workers);
    match (control_planes, nodes) {
        (0, _) => Err(PlanError::NoControlPlane),
        (_, nodes) if nodes > MOST => Err(PlanError::TooMany(nodes)),
        _ => Ok(()),
    }
}

/// Names the nodes, and gives them addresses in a network such as `10.89.0.0/24`.
///
/// # Errors
/// What [`check`] refuses, and a network without room.
pub fn nodes(network: &str, control_planes: usize, workers: usize) -> Result<Vec<Node>, PlanError> {
    check(control_planes, workers)?;
    let all = control_planes + workers;
    let no_room = || PlanError::NoRoom {
        network: network.to_owned(),
        nodes: all,
    };
    let (base, length) = network.split_once('/').ok_or_else(no_room)?;
    let base: Ipv4Addr = base.parse().map_err(|_| no_room())?;
    let length: u32 = length
        .parse()
        .ok()
        .filter(|length| *length <= 30)
        .ok_or_else(no_room)?;
    let hosts = 1u64 << (32 - length);
    if u64::from(FIRST) + all as u64 >= hosts {
        return Err(no_room());
    }
    let name = |number: usize| match number < control_planes {
        true => format!("control-plane-{}", number + 1),
        false => format!("worker-{}", number - control_planes + 1),
    };
    let node = |(number, host): (usize, u32)| Node {
        name: name(number),
        control_plane: number < control_planes,
        address: Ipv4Addr::from(u32::from(base) + host),
        forwarded: None,
    };
    Ok((0..all).zip(FIRST..).map(node).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_planes_come_first_and_no_two_nodes_are_alike() {
        let nodes = nodes("10.89.3.0/24", 2, 1).unwrap();
        let shown: Vec<_> = nodes
            .iter()
            .map(|node| (node.name.as_str(), node.address.to_string()))
            .collect();
        let expected = [
            ("control-plane-1", "10.89.3.10"),
            ("control-plane-2", "10.89.3.11"),
            ("worker-1", "10.89.3.12"),
        ];
        assert_eq!(shown, expected.map(|(name, address)| (name, address.to_owned())));
        assert_eq!(nodes[2].role(), Role::Worker);
    }

    #[test]
    fn a_node_is_reached_at_its_address_unless_ports_lead_to_it() {
        let mut node = nodes("10.89.3.0/24", 1, 0).unwrap().remove(0);
        assert_eq!(
            (node.api(), node.kubernetes()),
            ("10.89.3.10".into(), "https://10.89.3.10:6443".into())
        );
        node.forwarded = Some(Forwarded {
            api: 40_001,
            kubernetes: 40_002,
        });
        assert_eq!(
            (node.api(), node.kubernetes()),
            ("127.0.0.1:40001".into(), "https://127.0.0.1:40002".into())
        );
        // Records of before there were any.
        let old = r#"{"name":"worker-1","controlPlane":false,"address":"10.89.3.12"}"#;
        let read: Node = serde_json::from_str(old).unwrap();
        assert_eq!(read.forwarded, None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(nodes("10.89.3.0/24", 0, 1), Err(PlanError::NoControlPlane));
        assert_eq!(nodes("10.89.3.0/24", 1, MOST), Err(PlanError::TooMany(MOST + 1)));
        for network in ["10.89.3.0/28", "10.89.3.0", "x/24", "10.89.3.0/33", "fd00::/64"] {
            assert!(
                matches!(nodes(network, 3, 5), Err(PlanError::NoRoom { .. })),
                "{network}"
            );
        }
    }
}
