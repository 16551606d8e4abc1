//! `bedplate discover`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{io, thread};

use announcement::{Announcement, MAX_PACKET, News, Packet, legacy_browse, read};
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sys::interfaces::{Interface, interfaces};

use crate::options::Global;
use crate::ui::{self, Format, Show, Table};

/// The groups of multicast DNS.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// How often it is asked: a packet may be lost.
const QUESTIONS: u32 = 3;
/// The most nodes that are shown: whoever floods the network takes no memory.
const MOST: usize = 1024;

/// Lists the nodes on the networks of this computer, also those that wait for a machine config.
///
/// Nodes are asked by multicast DNS, on each interface, and answer for themselves. What they say is no proof: every other
/// command verifies a node's certificate.
#[derive(Debug, Args)]
pub struct Discover {
    /// Time to wait for answers.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = quantity::time)]
    wait: Duration,
    /// Ask on this interface only.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
}

/// A node that was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(flatten)]
    said: Announcement,
    interface: String,
}

impl Discover {
    /// Runs the command.
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let mut asked = interfaces().context("cannot list the interfaces of this computer")?;
        asked.retain(|interface| self.interface.as_ref().is_none_or(|name| *name == interface.name));
        if asked.is_empty() {
            anyhow::bail!(match &self.interface {
                Some(name) => format!("interface {name} does not exist, or has no address; see `ip address`"),
                None => "this computer is on no network".to_owned(),
            });
        }
        let until = Instant::now() + self.wait;
        let asking: Vec<_> = asked
            .into_iter()
            .map(|interface| thread::spawn(move || (ask(&interface, until), interface)))
            .collect();
        let mut found = BTreeMap::new();
        let mut failures = Vec::new();
        let mut heard = false;
        for thread in asking {
            let Ok((answers, interface)) = thread.join() else {
                continue;
            };
            match answers {
                Ok(answers) => {
                    heard = true;
                    take(&mut found, &interface.name, answers);
                }
                Err(error) => failures.push((interface, error)),
            }
        }
        for (interface, error) in failures {
            let (name, address) = (&interface.name, interface.address);
            // As on a network of one family; with all of them silent, it is the answer.
            if !heard || self.interface.is_some() {
                ui::note(&format!("cannot ask on {name} from {address}: {error}"));
            }
        }
        let found: Vec<Found> = found.into_values().collect();
        match global.output {
            Format::Table => {
                let mut table = Table::default();
                table.headings(&["NODE", "ROLE", "ADDRESS", "CLUSTER", "INTERFACE"]);
                for one in &found {
                    one.show(&mut table);
                }
                ui::write(table.draw().as_bytes())?;
                if found.is_empty() {
                    ui::note(
                        "no node answered; they announce themselves unless cluster.discovery.mdns is false",
                    );
                }
            }
            format => ui::value(format, &found)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show for Found {
    fn show(&self, table: &mut Table) {
        let said = &self.said;
        let address = said
            .addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        // As far as people need it to tell one from another.
        let cluster = said
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.as_str().get(..8));
        table.row([
            said.node.to_string(),
            said.role.word().to_owned(),
            address,
            cluster.unwrap_or_default().to_owned(),
            self.interface.clone(),
        ]);
    }
}

/// Adds answers to what was found: a node of two networks, or of both families, is one.
fn take(found: &mut BTreeMap<(String, String, String), Found>, interface: &str, answers: Vec<Announcement>) {
    for said in answers {
        let cluster = said.cluster.as_ref().map(|cluster| cluster.as_str().to_owned());
        let key = (
            cluster.unwrap_or_default(),
            said.node.to_string(),
            said.label.clone(),
        );
        if found.len() >= MOST && !found.contains_key(&key) {
            continue;
        }
        let interface = interface.to_owned();
        let one = found.entry(key).or_insert_with(|| Found {
            said: Announcement {
                addresses: Vec::new(),
                ..said.clone()
            },
            interface,
        });
        for address in said.addresses {
            if one.said.addresses.len() < announcement::MAX_ADDRESSES
                && !one.said.addresses.contains(&address)
            {
                one.said.addresses.push(address);
            }
        }
    }
}

/// Asks by an interface's address, and gathers answers until some moment.
fn ask(interface: &Interface, until: Instant) -> io::Result<Vec<Announcement>> {
    let (from, to): (SocketAddr, SocketAddr) = match interface.address {
        IpAddr::V4(address) => ((address, 0).into(), (GROUP_V4, announcement::PORT).into()),
        IpAddr::V6(address) => {
            let scoped = |address, port| SocketAddrV6::new(address, port, 0, interface.index).into();
            (scoped(address, 0), scoped(GROUP_V6, announcement::PORT))
        }
    };
    let socket = std::net::UdpSocket::bind(from)?;
    let packet = legacy_browse(0).ok_or(io::ErrorKind::InvalidData)?;
    let gap = until.saturating_duration_since(Instant::now()) / QUESTIONS;
    let mut answers: Vec<Announcement> = Vec::new();
    let mut buffer = vec![0; MAX_PACKET + 1];
    for question in 0..QUESTIONS {
        socket.send_to(&packet, to)?;
        let next = until - gap * (QUESTIONS - 1 - question);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let Ok(length) = socket.recv(&mut buffer) else {
                continue;
            };
            if let Some(Packet::Response(response)) = buffer.get(..length).and_then(read) {
                for news in response.news() {
                    match news {
                        News::Here { announcement, .. }
                            if !answers.contains(&announcement) && answers.len() < MOST =>
                        {
                            answers.push(announcement);
                        }
                        News::Here { .. } | News::Gone { .. } => (),
                    }
                }
            }
        }
    }
    Ok(answers)
}
