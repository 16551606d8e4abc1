//! The cluster: what is the same on all its nodes.

use std::fmt;
use std::net::IpAddr;

use machine_config::value::{Endpoint, IpPrefix, Name};

use crate::Error;

/// The pods' network, unless another is given.
pub const PODS: &str = "10.244.0.0/16";
/// The services' network, unless another is given.
pub const SERVICES: &str = "10.96.0.0/12";
/// The DNS domain, unless another is given.
pub const DOMAIN: &str = "cluster.local";
/// The length of the prefix of the pods' network on one node, of IPv4 and of IPv6.
pub const NODE_PREFIX: [u8; 2] = [24, 64];
/// How many bits an allocator of Kubernetes numbers at most.
const ALLOCATED_BITS: u8 = 16;
/// Which address of the services' network is the cluster's DNS: the tenth, as everywhere.
const DNS_INDEX: u32 = 10;

/// What is the same on all nodes of a cluster. Its networks fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    name: Name,
    endpoint: Endpoint,
    domain: Domain,
    pods: Vec<IpPrefix>,
    services: Vec<IpPrefix>,
}

/// A DNS domain: lower-case names with dots between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// Reads a domain.
    ///
    /// # Errors
    ///
    /// [`Error::Domain`] where it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // Names of services come in front of it, and the whole must stay below 253.
        match text.len() <= 180 && text.split('.').all(label) {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::Domain(text.to_owned())),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cluster {
    /// Puts a cluster together. Without networks, those that everybody has are taken.
    ///
    /// # Errors
    ///
    /// [`Error::Network`] where networks do not fit together, or where Kubernetes cannot hand out addresses of them.
    pub fn new(
        name: Name,
        endpoint: Endpoint,
        domain: Domain,
        pods: &[IpPrefix],
        services: &[IpPrefix],
    ) -> Result<Self, Error> {
        let or = |given: &[IpPrefix], usual: &str| match given {
            [] => vec![usual.parse().expect("the usual network is one")],
            given => given.to_vec(),
        };
        let (pods, services) = (or(pods, PODS), or(services, SERVICES));
        networks("cluster.network.pods", &pods)?;
        networks("cluster.network.services", &services)?;
        let families =
            |networks: &[IpPrefix]| networks.iter().map(|n| n.address.is_ipv4()).collect::<Vec<_>>();
        if families(&pods) != families(&services) {
            let reason = "needs the same families of addresses as cluster.network.pods, in the same order";
            return Err(Error::Network {
                field: "cluster.network.services",
                reason: reason.to_owned(),
            });
        }
        for network in &pods {
            let longest = NODE_PREFIX[usize::from(network.address.is_ipv6())];
            let shortest = longest - ALLOCATED_BITS;
            size(
                "cluster.network.pods",
                *network,
                shortest,
                longest,
                "each node takes a part of it",
            )?;
        }
        for network in &services {
            let (shortest, longest) = if network.address.is_ipv4() {
                (12, 28)
            } else {
                (108, 124)
            };
            size(
                "cluster.network.services",
                *network,
                shortest,
                longest,
                "each service takes an address of it",
            )?;
        }
        for (a, b) in pods.iter().flat_map(|a| services.iter().map(move |b| (*a, *b))) {
            if a.contains(b.address) || b.contains(a.address) {
                let reason = format!("{b} overlaps with {a}, the network of pods; choose another");
                return Err(Error::Network {
                    field: "cluster.network.services",
                    reason,
                });
            }
        }
        Ok(Self {
            name,
            endpoint,
            domain,
            pods,
            services,
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns where nodes and clients reach its API.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the host in its endpoint: a name or an address.
    pub fn endpoint_host(&self) -> &str {
        let authority = self.endpoint.as_str().trim_start_matches("https://");
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => authority.split(':').next().unwrap_or(authority),
        }
    }

    /// Returns its DNS domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Returns the networks of its pods: one, or one of each family.
    pub fn pods(&self) -> &[IpPrefix] {
        &self.pods
    }

    /// Returns the networks of its services: one, or one of each family.
    pub fn services(&self) -> &[IpPrefix] {
        &self.services
    }

    /// Returns the addresses of the service `kubernetes`, which is the API itself.
    pub fn api_service(&self) -> Vec<IpAddr> {
        self.services.iter().map(|network| nth(*network, 1)).collect()
    }

    /// Returns the addresses of the cluster's DNS.
    pub fn dns_service(&self) -> Vec<IpAddr> {
        self.services
            .iter()
            .map(|network| nth(*network, DNS_INDEX))
            .collect()
    }

    /// Tells whether it has addresses of both families.
    pub fn is_dual_stack(&self) -> bool {
        self.pods.len() > 1
    }

    /// Tells whether it has IPv6 addresses.
    pub fn has_ipv6(&self) -> bool {
        self.pods.iter().any(|network| network.address.is_ipv6())
    }
}

/// Checks that there are one or two networks, each of its own family.
fn networks(field: &'static str, networks: &[IpPrefix]) -> Result<(), Error> {
    let fault = |reason: String| Err(Error::Network { field, reason });
    for network in networks {
        if network.network() != *network {
            return fault(format!(
                "{network} is an address in a network; write {}",
                network.network()
            ));
        }
        let host = network.address;
        if host.is_loopback() || host.is_multicast() || is_link_local(host) {
            return fault(format!("{network} is no network for hosts; choose another"));
        }
    }
    match networks {
        [_] => Ok(()),
        [a, b] if a.address.is_ipv4() != b.address.is_ipv4() => Ok(()),
        _ => fault("expected one network, or one of IPv4 and one of IPv6".to_owned()),
    }
}

fn size(field: &'static str, network: IpPrefix, shortest: u8, longest: u8, why: &str) -> Result<(), Error> {
    match (shortest..=longest).contains(&network.length) {
        true => Ok(()),
        false => {
            let reason = format!(
                "{network} has the wrong size: {why}; expected a length from {shortest} to {longest}"
            );
            Err(Error::Network { field, reason })
        }
    }
}

/// Returns an address of a network, counted from its first.
fn nth(network: IpPrefix, index: u32) -> IpAddr {
    match network.network().address {
        IpAddr::V4(first) => IpAddr::from(first.to_bits().wrapping_add(index).to_be_bytes()),
        IpAddr::V6(first) => IpAddr::from(first.to_bits().wrapping_add(u128::from(index)).to_be_bytes()),
    }
}

/// Tells whether an address is good on one link only.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Writes an address as it stands in a URL.
pub(crate) fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// Writes things with commas between.
pub(crate) fn joined<T: fmt::Display>(things: &[T]) -> String {
    things.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(pods: &[&str], services: &[&str]) -> Result<Cluster, Error> {
        let all = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<IpPrefix>>()
        };
        Cluster::new(
            "home".parse().unwrap(),
            "https://k8s.home.example:6443".parse().unwrap(),
            Domain::parse(DOMAIN).unwrap(),
            &all(pods),
            &all(services),
        )
    }

    #[test]
    fn the_usual_networks_are_those_that_everybody_has() {
        let cluster = cluster(&[], &[]).unwrap();
        assert_eq!(cluster.api_service(), ["10.96.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(cluster.dns_service(), ["10.96.0.10".parse::<IpAddr>().unwrap()]);
        assert_eq!(cluster.endpoint_host(), "k8s.home.example");
        assert!(!cluster.is_dual_stack());
    }

    #[test]
    fn both_families_have_their_addresses() {
        let cluster = cluster(&["10.1.0.0/16", "fd01::/48"], &["10.2.0.0/16", "fd02::/112"]).unwrap();
        assert_eq!(joined(&cluster.dns_service()), "10.2.0.10,fd02::a");
        assert!(cluster.is_dual_stack() && cluster.has_ipv6());
    }

    #[test]
    fn networks_that_cannot_work_are_refused_with_the_way_out() {
        for (pods, services, part) in [
            (
                &["10.1.2.3/16"][..],
                &[][..],
                "cluster.network.pods: 10.1.2.3/16 is an address in a network; write 10.1.0.0/16",
            ),
            (&["10.1.0.0/25"], &[], "expected a length from 8 to 24"),
            (&["fd01::/32"], &["fd02::/112"], "expected a length from 48 to 64"),
            (&[], &["10.0.0.0/8"], "expected a length from 12 to 28"),
            (
                &["10.0.0.0/8"],
                &[],
                "cluster.network.services: 10.96.0.0/12 overlaps with 10.0.0.0/8",
            ),
            (
                &["10.1.0.0/16", "10.2.0.0/16"],
                &[],
                "one of IPv4 and one of IPv6",
            ),
            (&["fd01::/48"], &[], "needs the same families"),
            (&["127.0.0.0/16"], &[], "is no network for hosts"),
            (&["169.254.0.0/16"], &[], "is no network for hosts"),
        ] {
            let error = cluster(pods, services).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_domain_is_lower_case_names() {
        assert!(Domain::parse("cluster.local").is_ok());
        for wrong in ["", "Cluster.local", "a..b", "-a", "a b", &"a.".repeat(100)] {
            assert!(Domain::parse(wrong).is_err(), "{wrong}");
        }
    }
}
