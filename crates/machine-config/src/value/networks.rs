//! The networks of a cluster, which must fit together.

use std::net::IpAddr;

use super::IpPrefix;

/// The pods' network, unless another is given.
const PODS: &str = "10.244.0.0/16";
/// The services' network, unless another is given.
const SERVICES: &str = "10.96.0.0/12";
/// How many bits Kubernetes numbers at most, of parts of the pods' network.
const NUMBERED_BITS: u8 = 16;

/// The networks of pods and of services: one of each, or one of each family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNetworks {
    pods: Vec<IpPrefix>,
    services: Vec<IpPrefix>,
}

/// Says why networks cannot be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NetworkFault {
    /// Which of them.
    pub kind: NetworkKind,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Whose network it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkKind {
    /// That of pods.
    Pods,
    /// That of services.
    Services,
}

impl ClusterNetworks {
    /// Checks networks. An empty list stands for the network that everybody has.
    ///
    /// # Errors
    ///
    /// Networks that do not fit together, or whose addresses Kubernetes cannot hand out.
    pub fn new(pods: &[IpPrefix], services: &[IpPrefix]) -> Result<Self, NetworkFault> {
        let or = |given: &[IpPrefix], usual: &str| match given {
            [] => vec![usual.parse().expect("the usual network is one")],
            given => given.to_vec(),
        };
        let networks = Self {
            pods: or(pods, PODS),
            services: or(services, SERVICES),
        };
        networks.check()?;
        Ok(networks)
    }

    /// Returns the networks of pods, the first one's family first.
    pub fn pods(&self) -> &[IpPrefix] {
        &self.pods
    }

    /// Returns the networks of services, in the same order.
    pub fn services(&self) -> &[IpPrefix] {
        &self.services
    }

    /// Returns how long the prefix is of what one node takes of a network of pods.
    pub fn node_prefix(network: IpPrefix) -> u8 {
        if network.address.is_ipv4() { 24 } else { 64 }
    }

    fn check(&self) -> Result<(), NetworkFault> {
        use NetworkKind::{Pods, Services};
        families(Pods, &self.pods)?;
        families(Services, &self.services)?;
        let of = |networks: &[IpPrefix]| networks.iter().map(|n| n.address.is_ipv4()).collect::<Vec<_>>();
        if of(&self.pods) != of(&self.services) {
            return fault(
                Services,
                "needs the same families of addresses as the network of pods, in the same order",
            );
        }
        for network in &self.pods {
            let longest = Self::node_prefix(*network);
            size(
                Pods,
                *network,
                longest - NUMBERED_BITS,
                longest,
                "each node takes a part of it",
            )?;
        }
        for network in &self.services {
            let (shortest, longest) = if network.address.is_ipv4() {
                (12, 28)
            } else {
                (108, 124)
            };
            size(
                Services,
                *network,
                shortest,
                longest,
                "each service takes an address of it",
            )?;
        }
        let pairs = self
            .pods
            .iter()
            .flat_map(|a| self.services.iter().map(move |b| (a, b)));
        for (pods, services) in pairs {
            if pods.contains(services.address) || services.contains(pods.address) {
                return fault(
                    Services,
                    format!("{services} overlaps with {pods}, the network of pods; choose another"),
                );
            }
        }
        Ok(())
    }
}

fn fault(kind: NetworkKind, reason: impl Into<String>) -> Result<(), NetworkFault> {
    let reason = reason.into();
    Err(NetworkFault { kind, reason })
}

/// Checks that there are one or two networks of hosts, each of its own family.
fn families(kind: NetworkKind, networks: &[IpPrefix]) -> Result<(), NetworkFault> {
    for network in networks {
        if network.network() != *network {
            let right = network.network();
            return fault(
                kind,
                format!("{network} is an address in a network; write {right}"),
            );
        }
        let link_local = match network.address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if network.address.is_loopback() || network.address.is_multicast() || link_local {
            return fault(kind, format!("{network} is no network for hosts; choose another"));
        }
    }
    match networks {
        [_] => Ok(()),
        [a, b] if a.address.is_ipv4() != b.address.is_ipv4() => Ok(()),
        _ => fault(kind, "expected one network, or one of IPv4 and one of IPv6"),
    }
}

fn size(
    kind: NetworkKind,
    network: IpPrefix,
    shortest: u8,
    longest: u8,
    why: &str,
) -> Result<(), NetworkFault> {
    match (shortest..=longest).contains(&network.length) {
        true => Ok(()),
        false => fault(
            kind,
            format!("{network} has the wrong size: {why}; expected a length from {shortest} to {longest}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_cannot_work_are_refused_with_the_way_out() {
        let all = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<IpPrefix>>()
        };
        let new = |pods: &[&str], services: &[&str]| ClusterNetworks::new(&all(pods), &all(services));
        for (pods, services) in [
            (&[][..], &[][..]),
            (&["10.1.0.0/16"], &["10.2.0.0/16"]),
            (&["fd01::/48"], &["fd02::/112"]),
            (&["fd01::/48", "10.1.0.0/24"], &["fd02::/108", "10.2.0.0/28"]),
        ] {
            assert!(new(pods, services).is_ok(), "{pods:?} {services:?}");
        }
        for (pods, services, part) in [
            (
                &["10.1.2.3/16"][..],
                &[][..],
                "10.1.2.3/16 is an address in a network; write 10.1.0.0/16",
            ),
            (&["10.1.0.0/25"], &[], "expected a length from 8 to 24"),
            (&["fd01::/32"], &["fd02::/112"], "expected a length from 48 to 64"),
            (&[], &["10.0.0.0/8"], "expected a length from 12 to 28"),
            (&["10.0.0.0/8"], &[], "10.96.0.0/12 overlaps with 10.0.0.0/8"),
            (
                &["10.1.0.0/16", "10.2.0.0/16"],
                &[],
                "one of IPv4 and one of IPv6",
            ),
            (&["fd01::/48"], &[], "needs the same families"),
            (&["127.0.0.0/16"], &[], "is no network for hosts"),
            (&["169.254.0.0/16"], &[], "is no network for hosts"),
        ] {
            let error = new(pods, services).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
