//! Reads how workloads reach the network, and which ports of the node are theirs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::workloads::bounded;
use crate::decode::Cursor;
use crate::v1alpha1::{NetworkMode, PortProtocol, PublishedPort, Workload, WorkloadNetwork};
use crate::value::IpPrefix;

/// Ports of the node itself: who took one of them could lock everybody out.
const TAKEN: [(u16, &str); 5] = [
    (50_000, "the node's own API"),
    (2379, "etcd"),
    (2380, "etcd"),
    (6443, "the Kubernetes API"),
    (10_250, "kubelet"),
];
/// The least and the most bits of the prefix: enough for the most workloads, and no whole part of the world.
const PREFIX: (u8, u8) = (8, 25);

pub(super) fn network(cursor: Cursor<'_>) -> Option<WorkloadNetwork> {
    let mut o = cursor.object()?;
    let mode = o.field("mode").and_then(|c| c.choice(&NetworkMode::ALL));
    let mode = mode.unwrap_or_default();
    let ports = o.field("ports").map(|c| {
        bounded(&c, "ports");
        if mode != NetworkMode::Bridge {
            c.fault("publishes ports, which goes with mode: bridge alone; with mode: host every port is the node's");
        }
        let items = c.items();
        items.into_iter().filter_map(port).collect()
    });
    o.finish();
    Some(WorkloadNetwork {
        mode,
        ports: ports.unwrap_or_default(),
    })
}

fn port(cursor: Cursor<'_>) -> Option<PublishedPort> {
    let mut o = cursor.object()?;
    let number = |c: Cursor<'_>| u16::try_from(c.number(1, 65_535)?).ok();
    let container = o
        .required("container", "give the port on which the workload listens")
        .and_then(number);
    let host = o.field("host").and_then(number);
    let protocol = o.field("protocol").and_then(|c| c.choice(&PortProtocol::ALL));
    let address = o.field("address").and_then(address);
    let port = PublishedPort {
        container: container?,
        host,
        protocol: protocol.unwrap_or_default(),
        address,
    };
    let taken = TAKEN.iter().find(|(number, _)| *number == port.host());
    if let (Some((number, whose)), PortProtocol::Tcp) = (taken, port.protocol) {
        o.here().fault(format!(
            "takes port {number}, which is that of {whose}; set another host"
        ));
    }
    o.finish();
    Some(port)
}

fn address(cursor: Cursor<'_>) -> Option<Ipv4Addr> {
    let text = cursor.text()?;
    let address: Option<Ipv4Addr> = text.parse().ok();
    let address = address.filter(|address| !address.is_unspecified() && !address.is_multicast());
    if address.is_none() {
        cursor.fault(format!(
            "{text:?} is not an IPv4 address of the node; leave it out for all of them"
        ));
    }
    address
}

/// Checks that no two workloads, and no workload twice, publish the same port.
pub(super) fn published(list: &[Workload], at: &BTreeMap<&str, &Cursor<'_>>) {
    let all: Vec<(&str, &PublishedPort)> = list
        .iter()
        .flat_map(|one| one.network.ports.iter().map(|port| (one.name.as_str(), port)))
        .collect();
    for (index, (name, port)) in all.iter().enumerate() {
        let Some((other, _)) = all[..index].iter().find(|(_, other)| other.collides(port)) else {
            continue;
        };
        let port = format!("port {}/{}", port.host(), port.protocol.name());
        at[name].fault(match name == other {
            true => format!("publishes {port} twice"),
            false => format!("publishes {port}, and so does {other}; set another host in one of them"),
        });
    }
}

/// Reads the network of workloads on the bridge.
pub(super) fn subnet(cursor: Cursor<'_>) -> Option<IpPrefix> {
    let subnet: IpPrefix = cursor.parsed()?;
    let right = subnet.address.is_ipv4() && (PREFIX.0..=PREFIX.1).contains(&subnet.length);
    if !right {
        cursor.fault(format!(
            "{subnet} is not a network for workloads; expected one of IPv4 with a prefix of {} to {} bits, such as 10.87.0.0/24",
            PREFIX.0, PREFIX.1
        ));
        return None;
    }
    if subnet != subnet.network() {
        cursor.fault(format!(
            "{subnet} is an address in a network; write {}",
            subnet.network()
        ));
    }
    Some(subnet)
}
