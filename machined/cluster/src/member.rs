//! What the node is in its cluster: decided once, and published for everybody as [`ClusterMember`].

use std::net::IpAddr;

use async_trait::async_trait;
use kubernetes::config::{Wanted, wanted};
use kubernetes::{EtcdRelease, Release, Version};
use machine_config::MachineConfig;
use machine_config::value::IpPrefix;
use release_file::KubernetesPrograms;
use state::kinds::{AddressStatus, ClusterMember, HostNameStatus, NODE, RouteStatus};
use state::{Action, Controller, ControllerError, Resource, Store};

/// Why a node that is to run Kubernetes cannot be a member of its cluster yet.
#[derive(Debug, thiserror::Error)]
pub enum NoMember {
    /// The image has no Kubernetes.
    #[error("the image has no Kubernetes; install a release that was built with the overlay {overlay}")]
    NoKubernetes {
        /// The overlay that is missing.
        overlay: &'static str,
    },
    /// The node has no name yet.
    #[error("the node has no host name yet")]
    NoName,
    /// What the config, the name and the addresses make is no member.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
}

/// A member of a cluster, with everything that its components follow from.
#[derive(Debug)]
pub struct Member {
    /// The cluster, the node, and what only a control plane knows.
    pub wanted: Wanted,
    /// The Kubernetes in the image.
    pub release: &'static Release,
    /// Its whole version.
    pub version: Version,
    /// The etcd in the image; none on a worker.
    pub etcd: Option<(&'static EtcdRelease, Version)>,
}

/// Decides what the node is. Returns none where the machine config has no Kubernetes. Pure.
///
/// # Errors
///
/// [`NoMember`] names what is missing.
pub fn decide(
    config: &MachineConfig,
    programs: Option<&KubernetesPrograms>,
    host_name: Option<&str>,
    addresses: &[IpAddr],
) -> Result<Option<Member>, NoMember> {
    if config.cluster.ca.is_none() || config.cluster.endpoint.is_none() {
        return Ok(None);
    }
    let Some(mut wanted) = wanted(config, host_name.ok_or(NoMember::NoName)?, addresses)? else {
        return Ok(None);
    };
    // The balancer: it prefers the node's own API server, and survives the loss of any other.
    wanted.node.api = format!("https://127.0.0.1:{}", wanted.node.ports.api_balancer);
    let overlay = match wanted.control_plane {
        Some(_) => "kubernetes",
        None => "kubernetes-worker",
    };
    let missing = NoMember::NoKubernetes { overlay };
    let Some(programs) = programs else {
        return Err(missing);
    };
    let version: Version = programs.version.parse()?;
    let release = Release::of(version)?;
    let etcd = match (&wanted.control_plane, &programs.etcd) {
        (None, _) => None,
        (Some(_), None) => return Err(missing),
        (Some(_), Some(etcd)) => {
            let version: Version = etcd.parse()?;
            release.check_etcd(version)?;
            Some((EtcdRelease::of(version)?, version))
        }
    };
    Ok(Some(Member {
        wanted,
        release,
        version,
        etcd,
    }))
}

/// Orders the addresses of a node, best first, so that the same one is chosen at every start: those of the interface with
/// the default route, then by the interfaces' names, and in the order of the numbers on each. Those that the node used
/// before stay first as long as it has them. Pure.
pub fn order(addresses: &[AddressStatus], routes: &[RouteStatus], used: &[IpAddr]) -> Vec<IpAddr> {
    let is_default = |route: &&RouteStatus| route.to.length == 0;
    let outside = routes.iter().filter(is_default).min_by_key(|route| route.metric);
    let mut all: Vec<&AddressStatus> = addresses.iter().collect();
    all.sort_by_key(|status| {
        let address = status.address.address;
        let inside = outside.is_none_or(|route| route.link != status.link);
        (!used.contains(&address), inside, &status.link, address)
    });
    all.into_iter().map(|status| status.address.address).collect()
}

/// Decides what the node is from what the store holds.
pub(crate) fn of_store(
    store: &Store,
    programs: Option<&KubernetesPrograms>,
) -> Result<Option<Member>, NoMember> {
    let Some(config) = store.get::<MachineConfig>(NODE) else {
        return Ok(None);
    };
    let values = |(_, value)| value;
    let addresses: Vec<AddressStatus> = store.list().into_iter().map(values).collect();
    let routes: Vec<RouteStatus> = store.list().into_iter().map(|(_, route)| route).collect();
    let used = store.get::<ClusterMember>(NODE).map(|member| member.addresses);
    let addresses = order(&addresses, &routes, &used.unwrap_or_default());
    let name = store
        .get::<HostNameStatus>(NODE)
        .map(|status| status.name.to_string());
    decide(&config, programs, name.as_deref(), &addresses)
}

impl Member {
    fn publish(&self) -> ClusterMember {
        let (cluster, node) = (&self.wanted.cluster, &self.wanted.node);
        let prefixes = |all: &[IpPrefix]| all.to_vec();
        ClusterMember {
            cluster: cluster.name().to_string(),
            node: node.name.to_string(),
            control_plane: self.wanted.control_plane.is_some(),
            addresses: node.addresses().to_vec(),
            endpoint: cluster.endpoint().to_string(),
            api: node.api.clone(),
            pods: prefixes(cluster.pods()),
            services: prefixes(cluster.services()),
            dns: cluster.dns_service(),
            domain: cluster.domain().to_string(),
            kubernetes: self.version.to_string(),
            etcd: self.etcd.map(|(_, version)| version.to_string()),
        }
    }
}

/// Publishes what the node is. Sole owner of [`ClusterMember`].
pub struct MemberController {
    programs: Option<KubernetesPrograms>,
}

impl MemberController {
    /// Makes the controller of a node with these programs in its image.
    pub fn new(programs: Option<KubernetesPrograms>) -> Self {
        Self { programs }
    }
}

#[async_trait]
impl Controller for MemberController {
    fn name(&self) -> &'static str {
        "cluster-member"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            HostNameStatus::KIND,
            AddressStatus::KIND,
            RouteStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[ClusterMember::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        match of_store(store, self.programs.as_ref()) {
            Ok(Some(member)) => store.put(self.name(), NODE, member.publish())?,
            Ok(None) => store.remove::<ClusterMember>(self.name(), NODE)?,
            // A node whose address is away for a moment is still who it was; `ClusterStatus` tells what is missing.
            Err(_) => return Ok(Action::WaitForChange),
        };
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(link: &str, address: &str) -> AddressStatus {
        AddressStatus {
            link: link.to_owned(),
            address: address.parse().unwrap(),
            ours: true,
        }
    }

    fn default_route(link: &str, metric: u32) -> RouteStatus {
        RouteStatus {
            link: link.to_owned(),
            to: "0.0.0.0/0".parse().unwrap(),
            via: None,
            metric,
            ours: true,
        }
    }

    #[test]
    fn the_best_address_is_on_the_way_out_and_stays_the_best() {
        let all = [
            address("eth1", "10.0.0.7/24"),
            address("eth0", "192.168.1.9/24"),
            address("eth0", "192.168.1.7/24"),
        ];
        let routes = [default_route("eth1", 300), default_route("eth0", 100)];
        let shown = |used: &[&str]| {
            let used: Vec<IpAddr> = used.iter().map(|text| text.parse().unwrap()).collect();
            let ordered = order(&all, &routes, &used);
            ordered.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[]), ["192.168.1.7", "192.168.1.9", "10.0.0.7"]);
        assert_eq!(shown(&["10.0.0.7"]), ["10.0.0.7", "192.168.1.7", "192.168.1.9"]);
        assert_eq!(shown(&["10.9.9.9"])[0], "192.168.1.7");
    }
}
