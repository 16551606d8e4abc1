//! One name of the zone: what the specification says about it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::rr::{Name, Record, RecordType};

use crate::objects::{Port, Service, Target, undashed};
use crate::zone::{Entry, Zone};
use crate::{arpa, records};

/// The most records of one answer: more do not fit into any packet.
const MOST_RECORDS: usize = 1000;

/// What the zone has to say about a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Records, and others that whoever asked will want next.
    Records(Vec<Record>, Vec<Record>),
    /// Another name, by this record.
    Alias(Box<Record>, Name),
    /// The name is there, without a record of this kind. The zone it is in.
    NoData(Name),
    /// There is no such name. The zone it would be in.
    NoName(Name),
    /// Nobody knows yet whether there is such a name.
    NotSynced,
    /// The name is not the cluster's.
    NotOurs,
}

/// What is at a name, whatever kind is asked for.
enum Found {
    /// These records.
    Records(Vec<Record>, Vec<Record>),
    /// Another name.
    Alias(Name),
    /// Names below it, and nothing else.
    Nothing,
}

impl Zone {
    /// Answers for one name. `turn` is where a list of endpoints begins, so that each comes first at times.
    pub fn answer(&self, name: &Name, kind: RecordType, turn: usize) -> Answer {
        let domain = &self.config.domain;
        let labels: Option<Vec<String>> = name
            .iter()
            .map(|label| std::str::from_utf8(label).ok().map(str::to_ascii_lowercase))
            .collect();
        let ours = domain.zone_of(name);
        let Some(labels) = labels else {
            // Nothing in Kubernetes has such a name.
            return match ours {
                true => self.missing(domain.clone()),
                false => Answer::NotOurs,
            };
        };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        if ours {
            let own = labels.len() - domain.iter().count();
            return match self.find(name, &labels[..own], kind, turn) {
                Some(found) => self.shown(name, kind, found, domain.clone()),
                None => self.missing(domain.clone()),
            };
        }
        let Some(address) = arpa::address(&labels) else {
            return Answer::NotOurs;
        };
        let pointers = self.pointers(name, address);
        let networks = self.config.services.iter().chain(&self.config.pods);
        let zone = name.base_name();
        match pointers.is_empty() {
            false => self.shown(name, kind, Found::Records(pointers, Vec::new()), zone),
            // The world knows nothing about addresses of the cluster, and need not hear of them.
            true if networks.into_iter().any(|network| network.contains(address)) => self.missing(zone),
            true => Answer::NotOurs,
        }
    }

    fn missing(&self, zone: Name) -> Answer {
        match self.synced {
            true => Answer::NoName(zone),
            false => Answer::NotSynced,
        }
    }

    /// Chooses those records that were asked for.
    fn shown(&self, name: &Name, kind: RecordType, found: Found, zone: Name) -> Answer {
        let (mut answers, additionals) = match found {
            Found::Alias(target) => {
                let record = records::cname(name, target.clone());
                return match kind {
                    RecordType::CNAME | RecordType::ANY => Answer::Records(vec![record], Vec::new()),
                    _ => Answer::Alias(Box::new(record), target),
                };
            }
            Found::Records(..) if kind == RecordType::ANY => (vec![records::minimal(name)], Vec::new()),
            Found::Records(answers, additionals) => (answers, additionals),
            Found::Nothing => (Vec::new(), Vec::new()),
        };
        if kind != RecordType::ANY {
            answers.retain(|record| record.record_type() == kind);
        }
        match answers.is_empty() {
            true => Answer::NoData(zone),
            false => Answer::Records(answers, additionals),
        }
    }

    /// Finds what is at a name of the zone. The labels are those in front of the domain, in lower case.
    fn find(&self, name: &Name, labels: &[&str], kind: RecordType, turn: usize) -> Option<Found> {
        let domain = &self.config.domain;
        match labels {
            [] => {
                let server = records::name_server(domain).ok()?;
                let own = vec![records::soa(domain, domain), records::ns(domain, server)];
                Some(Found::Records(own, Vec::new()))
            }
            ["dns-version"] => Some(Found::Records(vec![records::version(name)], Vec::new())),
            ["dns" | "svc" | "pod"] => Some(Found::Nothing),
            ["ns", "dns"] => {
                let own = self.config.dns.iter();
                let own = own.map(|address| records::any_address(name, *address)).collect();
                Some(Found::Records(own, Vec::new()))
            }
            [namespace, "svc" | "pod"] => self.has_namespace(namespace).then_some(Found::Nothing),
            [address, namespace, "pod"] => {
                let address = self.pod(address).filter(|_| self.has_namespace(namespace))?;
                let own = vec![records::any_address(name, address)];
                Some(Found::Records(own, Vec::new()))
            }
            [service, namespace, "svc"] => {
                let (entry, service) = self.service(namespace, service)?;
                self.own(name, entry, service, kind, turn)
            }
            [label, service, namespace, "svc"] => {
                let (entry, service) = self.service(namespace, service)?;
                match label.starts_with('_') {
                    // Names of ports are below it.
                    true => self
                        .ports(entry, service)
                        .any(|port| port.protocol.label() == *label)
                        .then_some(Found::Nothing),
                    false => self.endpoint(name, label, entry, service),
                }
            }
            [port, protocol, service, namespace, "svc"] => {
                let (entry, service) = self.service(namespace, service)?;
                let port = port.strip_prefix('_').filter(|port| !port.is_empty())?;
                let matches = |known: &Port| {
                    known.name.eq_ignore_ascii_case(port) && known.protocol.label() == *protocol
                };
                self.srv(name, entry, service, matches, turn)
            }
            _ => None,
        }
    }

    /// Returns the address of a pod from a label. Any address of the pods' networks counts: which of them have a pod is not looked up.
    fn pod(&self, label: &str) -> Option<IpAddr> {
        let address = undashed(label)?;
        let mut networks = self.config.pods.iter();
        networks
            .any(|network| network.contains(address))
            .then_some(address)
    }

    /// Returns what the name of a service stands for.
    fn own(
        &self,
        name: &Name,
        entry: &Entry,
        service: &Service,
        kind: RecordType,
        turn: usize,
    ) -> Option<Found> {
        match &service.target {
            Target::Addresses(own) => {
                let own = own.iter().map(|address| records::any_address(name, *address));
                Some(Found::Records(own.collect(), Vec::new()))
            }
            Target::Name(target) => Some(match Name::from_ascii(&**target) {
                Ok(mut target) => {
                    target.set_fqdn(true);
                    Found::Alias(target)
                }
                // The API takes names that are none of DNS's; there is nothing to say then.
                Err(_) => Found::Nothing,
            }),
            Target::Endpoints => {
                let all: BTreeSet<IpAddr> = self
                    .ready(entry, service)
                    .map(|(_, endpoint)| endpoint.address)
                    .collect();
                // Without an endpoint the name is to be missing, by the specification.
                if all.is_empty() {
                    return None;
                }
                let of_kind: Vec<IpAddr> = all
                    .into_iter()
                    .filter(|address| {
                        kind == RecordType::ANY || records::address(name, kind, *address).is_some()
                    })
                    .collect();
                let own = in_turn(&of_kind, turn).map(|address| records::any_address(name, *address));
                Some(Found::Records(own.collect(), Vec::new()))
            }
        }
    }

    /// Returns the addresses of the endpoints with a name.
    fn endpoint(&self, name: &Name, label: &str, entry: &Entry, service: &Service) -> Option<Found> {
        let named = self.ready(entry, service);
        let named: BTreeSet<IpAddr> = named
            .filter(|(_, endpoint)| endpoint.is_named(label))
            .map(|(_, endpoint)| endpoint.address)
            .collect();
        let own: Vec<Record> = named
            .into_iter()
            .take(MOST_RECORDS)
            .map(|address| records::any_address(name, address))
            .collect();
        (!own.is_empty()).then_some(Found::Records(own, Vec::new()))
    }

    /// Lists the ports of a service that have a name.
    fn ports<'a>(
        &'a self,
        entry: &'a Entry,
        service: &'a Service,
    ) -> Box<dyn Iterator<Item = &'a Port> + 'a> {
        let named = |port: &&Port| !port.name.is_empty();
        match &service.target {
            Target::Addresses(_) => Box::new(service.ports.iter().filter(named)),
            Target::Endpoints => {
                let ready =
                    move |endpoint: &crate::objects::Endpoint| endpoint.ready || service.publishes_not_ready;
                let slices = self
                    .slices_of(entry)
                    .filter(move |slice| slice.endpoints.iter().any(ready));
                Box::new(slices.flat_map(|slice| slice.ports.iter()).filter(named))
            }
            Target::Name(_) => Box::new(std::iter::empty()),
        }
    }

    /// Returns where a port of a service is served.
    fn srv(
        &self,
        name: &Name,
        entry: &Entry,
        service: &Service,
        matches: impl Fn(&Port) -> bool,
        turn: usize,
    ) -> Option<Found> {
        // The name without port and protocol is the service's.
        let host = name.base_name().base_name();
        let mut found: BTreeSet<(Name, u16)> = BTreeSet::new();
        let mut addresses: BTreeSet<(Name, IpAddr)> = BTreeSet::new();
        match &service.target {
            Target::Addresses(own) => {
                let ports = service.ports.iter().filter(|port| matches(port));
                found.extend(ports.map(|port| (host.clone(), port.number)));
                addresses.extend(own.iter().map(|address| (host.clone(), *address)));
            }
            Target::Endpoints => {
                let all: Vec<_> = self.ready(entry, service).collect();
                for (slice, endpoint) in in_turn(&all, turn) {
                    let Ok(target) = records::prepend(&host, &[&endpoint.label()]) else {
                        continue;
                    };
                    for port in slice.ports.iter().filter(|port| matches(port)) {
                        found.insert((target.clone(), port.number));
                        addresses.insert((target.clone(), endpoint.address));
                    }
                }
            }
            Target::Name(_) => return None,
        }
        let srv: Vec<Record> = found
            .iter()
            .map(|(target, port)| records::srv(name, *port, target))
            .collect();
        let additionals = addresses
            .iter()
            .map(|(target, address)| records::any_address(target, *address));
        (!srv.is_empty()).then(|| Found::Records(srv, additionals.collect()))
    }

    /// Returns the names at an address: of services, and of endpoints of headless ones.
    fn pointers(&self, name: &Name, address: IpAddr) -> Vec<Record> {
        let domain = &self.config.domain;
        let mut all = Vec::new();
        for key in self.at(address) {
            let Some((entry, service)) = self.service(&key.namespace, &key.name) else {
                continue;
            };
            let Ok(own) = records::prepend(domain, &[&key.name, &key.namespace, "svc"]) else {
                continue;
            };
            match &service.target {
                Target::Endpoints => {
                    let here = self
                        .ready(entry, service)
                        .filter(|(_, endpoint)| endpoint.address == address)
                        .map(|(_, endpoint)| endpoint.label());
                    let labels: BTreeSet<String> = here.collect();
                    let targets = labels
                        .iter()
                        .filter_map(|label| records::prepend(&own, &[label]).ok());
                    all.extend(targets.map(|target| records::ptr(name, target)));
                }
                _ => all.push(records::ptr(name, own)),
            }
            if all.len() >= MOST_RECORDS {
                break;
            }
        }
        all
    }
}

/// Lists what is there, beginning at a turn: at most as much as an answer holds.
fn in_turn<T>(all: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let start = turn.checked_rem(all.len()).unwrap_or(0);
    all.iter().cycle().skip(start).take(all.len().min(MOST_RECORDS))
}
