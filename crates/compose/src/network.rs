//! The network of a service, and its ports.

use std::net::Ipv4Addr;

use machine_config::v1alpha1::{NetworkMode, PortProtocol, PublishedPort, Workload};
use yaml::{Node, Value, join};

use super::{Notes, values};

/// The most ports of a workload.
const MOST: usize = 64;

pub(super) fn mode(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    workload.network.mode = match notes.text(node, path).as_deref() {
        Some("none") => NetworkMode::None,
        Some("host") => NetworkMode::Host,
        Some("bridge") | None => NetworkMode::Bridge,
        Some(other) => {
            return notes.left(
                node.line,
                path,
                format!("there is no network {other}: the workload is on the node's bridge"),
            );
        }
    };
}

/// Reads published ports, in their short or long form.
pub(super) fn ports(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    let items = node.items();
    let items = notes.good(node, path, items).unwrap_or_default();
    for (at, item) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let read = match &item.value {
            Value::Map(_) => long(item, &path, notes),
            _ => notes.text(item, &path).map(|text| values::port(&text)),
        };
        let read = read.map(|port| published(&port));
        let Some(found) = read.and_then(|found| notes.good(item, &path, found)) else {
            continue;
        };
        for port in found {
            if workload.network.ports.len() == MOST {
                return notes.left(
                    item.line,
                    &path,
                    format!("a workload publishes at most {MOST} ports"),
                );
            }
            if !workload.network.ports.iter().any(|other| other.collides(&port)) {
                workload.network.ports.push(port);
            }
        }
    }
}

fn long(item: &Node, path: &str, notes: &mut Notes<'_>) -> Option<values::Port> {
    let mut port = values::Port::default();
    for (key, value) in item.entries().unwrap_or_default() {
        let inner = join(path, &key.name);
        match key.name.as_str() {
            "target" => port.target = notes.text(value, &inner)?,
            "published" => port.published = Some(notes.text(value, &inner)?),
            "host_ip" => port.host = Some(notes.text(value, &inner)?),
            "protocol" => port.protocol = Some(notes.text(value, &inner)?),
            "name" | "app_protocol" | "mode" => {}
            _ => notes.left(key.line, &inner, "is not a key of ports"),
        }
    }
    Some(port)
}

/// Makes the ports that a text asks for: one, or those of two ranges of the same length. Pure.
fn published(port: &values::Port) -> Result<Vec<PublishedPort>, String> {
    let protocol = match port.protocol.as_deref() {
        None | Some("tcp") => PortProtocol::Tcp,
        Some("udp") => PortProtocol::Udp,
        Some(other) => return Err(format!("{other} ports cannot be published; only tcp and udp")),
    };
    let address = match port.host.as_deref() {
        None | Some("" | "0.0.0.0") => None,
        Some(text) => Some(
            text.parse::<Ipv4Addr>()
                .map_err(|_| format!("{text:?} is no IPv4 address; ports are published by IPv4"))?,
        ),
    };
    let (first, last) = range(&port.target)?;
    // One that names no port of the host gets any in Compose; here it is the same.
    let (at, end) = match port.published.as_deref() {
        None | Some("") => (first, last),
        Some(text) => range(text)?,
    };
    if last - first != end - at {
        return Err("its two ranges of ports are not of the same length".to_owned());
    }
    let one = |offset: u16| PublishedPort {
        container: first + offset,
        host: (at != first).then_some(at + offset),
        protocol,
        address,
    };
    Ok((0..=last - first).take(MOST + 1).map(one).collect())
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(format!("{text:?} is not a port, or a range of ports")),
    }
}

/// Notes ports that a network does not have, once both are known.
pub(super) fn settle(workload: &mut Workload, node: &Node, path: &str, notes: &mut Notes<'_>) {
    if workload.network.mode == NetworkMode::Bridge || workload.network.ports.is_empty() {
        return;
    }
    let (lost, reason) = match workload.network.mode {
        NetworkMode::Host => {
            let moved = workload.network.ports.iter().any(|port| port.host.is_some());
            (
                moved,
                "with the node's network every port of the program is the node's: it is reached where it listens",
            )
        }
        _ => (true, "without a network there are no ports"),
    };
    workload.network.ports.clear();
    if lost {
        let at = node.entry("ports").map_or(node.line, |(key, _)| key.line);
        notes.left(at, &join(path, "ports"), reason);
    }
}
