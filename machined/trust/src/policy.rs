//! Decides what a node that asks may be called, and what each of its certificates says. Pure.
//!
//! Nothing is copied out of a request. Each certificate has one form for each node, which follows from the node's name and
//! addresses; a request must ask for that form, and gets that form or less. So no request, whatever it says, ends in a
//! certificate that says more than the form does: never `system:masters`, never the name or address of another node.

use std::net::IpAddr;

use kubernetes::cluster::is_link_local;
use kubernetes::{Cluster, Identity, Node, NodeName, Signer, identity};
use machine_config::value::IpPrefix;
use pki::{Fingerprint, Purposes, SigningRequest, Subject};

/// The certificate with which machined serves its API. Its key is the node's own: it stays the same for as long as the node
/// keeps its disk.
pub const API: &str = "bedplate/api";
/// The common name of certificates of machined's API.
pub const API_NAME: &str = "Bedplate node";
/// The names under which every node serves itself.
pub const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A request, and which certificate it is for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As `COMPONENT/FILE`.
    pub which: String,
    /// What it asks for.
    pub request: SigningRequest,
}

/// What the control plane knows about whoever asks, and about its cluster.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The cluster; none where it runs no Kubernetes.
    pub cluster: Option<&'a Cluster>,
    /// Networks that nodes have their addresses in; none listed is any.
    pub subnets: &'a [IpPrefix],
    /// The address of the other end of the connection.
    pub peer: IpAddr,
    /// The common name of the certificate that it showed, if it showed one.
    pub shown: Option<&'a str>,
    /// Names and addresses that are others' already.
    pub taken: &'a Taken,
}

/// Names and addresses that belong to somebody: control planes, the cluster's endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Names in DNS, in lower case.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The node's name.
    pub name: NodeName,
    /// The node's addresses.
    pub addresses: Vec<IpAddr>,
    /// The fingerprint of the node's own key.
    pub key: Fingerprint,
    /// What each certificate says, in the order of the requests.
    pub certificates: Vec<Certificate>,
}

/// What one certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Who signs it.
    pub by: By,
    name: String,
    organization: Option<String>,
    alternative_names: Vec<String>,
    purposes: Purposes,
}

/// The authority that signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// That of machined's API: `machine.ca`.
    Machine,
    /// That of Kubernetes: `cluster.ca`.
    Kubernetes,
}

impl Certificate {
    /// Returns whom the certificate is for.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            organization: self.organization.as_deref(),
            alternative_names: &self.alternative_names,
            purposes: self.purposes,
        }
    }
}

/// Why nothing is signed. Says what to do, for the node that asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A certificate that there is none of, or one that is asked for twice.
    #[error(
        "{0:?} is no certificate that a worker has, or is asked for twice; use the same release on all nodes"
    )]
    Which(String),
    /// Nothing says who asks.
    #[error("no request says who asks; use the same release on all nodes")]
    Nobody,
    /// Kubernetes cannot take the name.
    #[error(
        "{0:?} cannot be the name of a node: only lower-case letters, digits, - and . can; set machine.hostname"
    )]
    Name(String),
    /// The certificate that was shown is another node's.
    #[error("the certificate of {shown:?} renews nothing for node {name}")]
    OtherNode {
        /// The common name in the certificate.
        shown: String,
        /// The name that was asked for.
        name: String,
    },
    /// The name is a control plane's, or that of the cluster.
    #[error("{0} is the name of a control plane or of the cluster's endpoint; set another machine.hostname")]
    NameTaken(String),
    /// None of the addresses can be the node's.
    #[error(
        "none of the node's addresses can be its own as seen from here, where it comes from {peer}; set cluster.subnets on control planes to the networks of the nodes"
    )]
    NoAddress {
        /// Where it comes from.
        peer: IpAddr,
    },
    /// A certificate asks for another form than its own.
    #[error(
        "{which} asks for {what}, which node {name} is not; use the same release and cluster on all nodes"
    )]
    Form {
        /// The certificate.
        which: String,
        /// What it asks for.
        what: String,
        /// The node.
        name: NodeName,
    },
    /// The control plane runs no Kubernetes.
    #[error(
        "the control plane runs no Kubernetes and signs none of its certificates; set cluster.ca on control planes"
    )]
    NoKubernetes,
    /// The addresses do not fit the cluster.
    #[error(transparent)]
    Node(#[from] kubernetes::Error),
}

/// Decides on the requests of a node.
///
/// # Errors
///
/// The first reason to refuse them all.
pub fn decide(facts: &Facts<'_>, asked: &[Asked]) -> Result<Granted, Refusal> {
    let mut seen: Vec<&str> = Vec::new();
    for one in asked {
        if seen.contains(&one.which.as_str()) {
            return Err(Refusal::Which(one.which.clone()));
        }
        seen.push(&one.which);
    }
    let own = asked.iter().find(|one| one.which == API).ok_or(Refusal::Nobody)?;
    let names = &own.request.alternative_names;
    let name = node_name(facts, names)?;
    let addresses = addresses(facts, names)?;
    let form = Form {
        facts,
        name: &name,
        addresses: &addresses,
    };
    let certificates = asked.iter().map(|one| form.of(one)).collect::<Result<_, _>>()?;
    Ok(Granted {
        key: own.request.key_fingerprint(),
        certificates,
        addresses,
        name,
    })
}

/// Finds the node's name: the first name that it serves its API under, after those of loopback.
fn node_name(facts: &Facts<'_>, names: &[String]) -> Result<NodeName, Refusal> {
    let mut plain = names.iter().filter(|name| name.parse::<IpAddr>().is_err());
    let found = plain.find(|name| !LOOPBACK.contains(&name.as_str()));
    let found = found.ok_or(Refusal::Nobody)?;
    let name: NodeName = found.parse().map_err(|_| Refusal::Name(found.clone()))?;
    let agent = format!("{}{name}", identity::AGENT_PREFIX);
    if let Some(shown) = facts.shown.filter(|shown| *shown != agent) {
        return Err(Refusal::OtherNode {
            shown: shown.to_owned(),
            name: name.to_string(),
        });
    }
    match facts.taken.names.iter().any(|taken| taken == name.as_str()) {
        true => Err(Refusal::NameTaken(name.to_string())),
        false => Ok(name),
    }
}

/// Chooses the addresses that can be the node's own.
fn addresses(facts: &Facts<'_>, names: &[String]) -> Result<Vec<IpAddr>, Refusal> {
    let peer = facts.peer.to_canonical();
    let asked: Vec<IpAddr> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let from_here = asked.contains(&peer);
    let own = |address: &IpAddr| {
        let special = address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || is_link_local(*address)
            // Two forms of one address would be two addresses.
            || *address != address.to_canonical();
        let networks = facts
            .cluster
            .iter()
            .flat_map(|cluster| cluster.pods().iter().chain(cluster.services()));
        let inside = networks.clone().any(|network| network.contains(*address));
        let plausible = match facts.subnets {
            // Only what the connection proves, and the node's address of the other family beside it.
            [] => *address == peer || (from_here && address.is_ipv4() != peer.is_ipv4()),
            subnets => subnets.iter().any(|subnet| subnet.contains(*address)),
        };
        !special && !inside && plausible && !facts.taken.addresses.contains(address)
    };
    let addresses: Vec<IpAddr> = asked.into_iter().filter(own).collect();
    match addresses.is_empty() {
        true => Err(Refusal::NoAddress { peer }),
        false => Ok(addresses),
    }
}

/// What the certificates of a node say.
struct Form<'a> {
    facts: &'a Facts<'a>,
    name: &'a NodeName,
    addresses: &'a [IpAddr],
}

impl Form<'_> {
    fn of(&self, asked: &Asked) -> Result<Certificate, Refusal> {
        match asked.which.as_str() {
            API => self.api(asked),
            _ => self.component(asked),
        }
    }

    /// That of the API is for as many of the names as can be the node's: what else a node serves under, such as an address of
    /// a second network, keeps nobody from joining.
    fn api(&self, asked: &Asked) -> Result<Certificate, Refusal> {
        let request = &asked.request;
        if request.name != API_NAME || request.organization.is_some() {
            return Err(self.other(asked, &request.name));
        }
        let granted = request.alternative_names.iter().filter(|name| self.serves(name));
        Ok(Certificate {
            by: By::Machine,
            name: API_NAME.to_owned(),
            organization: None,
            alternative_names: granted.cloned().collect(),
            purposes: Purposes {
                client: false,
                server: true,
            },
        })
    }

    /// Tells whether the node's API may be served under a name.
    fn serves(&self, name: &str) -> bool {
        if LOOPBACK.contains(&name) {
            return true;
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let own = self.name.as_str();
        let below = name.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        (name == own || below)
            && name.bytes().all(plain)
            && !self.facts.taken.names.iter().any(|taken| taken == name)
    }

    fn component(&self, asked: &Asked) -> Result<Certificate, Refusal> {
        let cluster = self.facts.cluster.ok_or(Refusal::NoKubernetes)?;
        let node = Node::new(cluster, self.name.clone(), self.addresses)?;
        let (_, form) = identity::of_worker(&node)
            .into_iter()
            .find(|(which, _)| *which == asked.which)
            .ok_or_else(|| Refusal::Which(asked.which.clone()))?;
        let request = &asked.request;
        if request.name != form.name || request.organization != form.organization {
            let organization = request.organization.as_deref();
            let what = organization.map(|group| format!("{} of {group}", request.name));
            return Err(self.other(asked, &what.unwrap_or_else(|| request.name.clone())));
        }
        let mut names = request.alternative_names.iter();
        if let Some(strange) = names.find(|name| !form.alternative_names.contains(name)) {
            return Err(self.other(asked, strange));
        }
        Ok(certificate(form, request.alternative_names.clone()))
    }

    fn other(&self, asked: &Asked, what: &str) -> Refusal {
        Refusal::Form {
            which: asked.which.clone(),
            what: format!("{what:?}"),
            name: self.name.clone(),
        }
    }
}

fn certificate(form: Identity, alternative_names: Vec<String>) -> Certificate {
    debug_assert!(form.signer == Signer::Kubernetes, "workers have no others");
    Certificate {
        by: By::Kubernetes,
        name: form.name,
        organization: form.organization,
        alternative_names,
        purposes: Purposes {
            client: form.client,
            server: form.server,
        },
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
