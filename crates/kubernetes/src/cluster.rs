//! The cluster: what is the same on all its nodes.

use std::fmt;
use std::net::IpAddr;

use machine_config::value::{ClusterNetworks, DnsDomain, Endpoint, IpPrefix, Name};

/// The DNS domain, unless another is given.
pub const DOMAIN: &str = "cluster.local";
/// Which address of the services' network is the cluster's DNS: the tenth, as everywhere.
const DNS_INDEX: u32 = 10;

/// What is the same on all nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    name: Name,
    endpoint: Endpoint,
    domain: DnsDomain,
    networks: ClusterNetworks,
}

impl Cluster {
    /// Puts a cluster together. Without a domain, the one that everybody has is taken.
    pub fn new(name: Name, endpoint: Endpoint, domain: Option<DnsDomain>, networks: ClusterNetworks) -> Self {
        let usual = || DOMAIN.parse().expect("the usual domain is one");
        Self {
            name,
            endpoint,
            domain: domain.unwrap_or_else(usual),
            networks,
        }
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
        host_of(&self.endpoint)
    }

    /// Returns its DNS domain.
    pub fn domain(&self) -> &DnsDomain {
        &self.domain
    }

    /// Returns the networks of its pods: one, or one of each family.
    pub fn pods(&self) -> &[IpPrefix] {
        self.networks.pods()
    }

    /// Returns the networks of its services: one, or one of each family.
    pub fn services(&self) -> &[IpPrefix] {
        self.networks.services()
    }

    /// Returns the addresses of the service `kubernetes`, which is the API itself.
    pub fn api_service(&self) -> Vec<IpAddr> {
        self.services().iter().map(|network| nth(*network, 1)).collect()
    }

    /// Returns the addresses of the cluster's DNS.
    pub fn dns_service(&self) -> Vec<IpAddr> {
        self.services()
            .iter()
            .map(|network| nth(*network, DNS_INDEX))
            .collect()
    }

    /// Tells whether it has addresses of both families.
    pub fn is_dual_stack(&self) -> bool {
        self.pods().len() > 1
    }

    /// Tells whether it has IPv6 addresses.
    pub fn has_ipv6(&self) -> bool {
        self.pods().iter().any(|network| network.address.is_ipv6())
    }
}

/// Returns the host in an endpoint: a name or an address.
pub fn host_of(endpoint: &Endpoint) -> &str {
    let authority = endpoint.as_str().trim_start_matches("https://");
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
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
pub fn is_link_local(address: IpAddr) -> bool {
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

    fn cluster(pods: &[&str], services: &[&str]) -> Cluster {
        let all = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<IpPrefix>>()
        };
        let networks = ClusterNetworks::new(&all(pods), &all(services)).unwrap();
        let endpoint = "https://k8s.home.example:6443".parse().unwrap();
        Cluster::new("home".parse().unwrap(), endpoint, None, networks)
    }

    #[test]
    fn the_usual_networks_are_those_that_everybody_has() {
        let cluster = cluster(&[], &[]);
        assert_eq!(joined(&cluster.api_service()), "10.96.0.1");
        assert_eq!(joined(&cluster.dns_service()), "10.96.0.10");
        assert_eq!(cluster.endpoint_host(), "k8s.home.example");
        assert_eq!(cluster.domain().as_str(), "cluster.local");
        assert!(!cluster.is_dual_stack() && !cluster.has_ipv6());
    }

    #[test]
    fn both_families_have_their_addresses() {
        let cluster = cluster(&["10.1.0.0/16", "fd01::/48"], &["10.2.0.0/16", "fd02::/112"]);
        assert_eq!(joined(&cluster.dns_service()), "10.2.0.10,fd02::a");
        assert!(cluster.is_dual_stack() && cluster.has_ipv6());
    }
}
