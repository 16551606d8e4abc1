//! One node: its name, its addresses, its folders and its ports.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use machine_config::v1alpha1::AdmissionPlugin;
use machine_config::value::Document;

use crate::cluster::{in_url, is_link_local};
use crate::release::Cgroups;
use crate::{Cluster, Error, Kind, Signer};

/// The name of a node, as Kubernetes takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(String);

impl NodeName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        // It is the value of a label, too: 63 at most.
        let fine =
            text.len() <= 63 && text.split('.').all(part) && text.split('.').next() != Some("localhost");
        match fine && text.parse::<IpAddr>().is_err() {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::NodeName {
                found: text.to_owned(),
            }),
        }
    }
}

/// A node, and how its components are set up.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its own addresses, the first of each family.
    addresses: Vec<IpAddr>,
    /// Where its kubelet and kube-proxy reach the API: `https://HOST:PORT`.
    pub api: String,
    /// Labels that it gives itself.
    pub labels: BTreeMap<String, String>,
    /// Taints that it registers with: `KEY=VALUE:EFFECT`, or `KEY:EFFECT`.
    pub taints: Vec<Taint>,
    /// Its folders and files.
    pub layout: Layout,
    /// Its ports.
    pub ports: Ports,
    /// Set when it runs kube-proxy, rather than something that people install.
    pub runs_proxy: bool,
    /// How kube-proxy forwards; the best that there is, where none is named.
    pub proxy_mode: Option<crate::release::ProxyMode>,
    /// Set when it is a container: the kernel's table of connections and the disk are the host's.
    pub in_container: bool,
    /// The kernel's control groups. Only the host of a container may have v1: kubelet runs there, unsupported as it is.
    pub cgroups: Cgroups,
    /// Flags that people give beside ours, by component.
    pub extra: BTreeMap<Kind, BTreeMap<String, String>>,
    /// Feature gates for every component.
    pub feature_gates: BTreeMap<String, bool>,
    /// Fields that people give for kubelet's config.
    pub kubelet_config: Option<Document>,
    /// Settings of the API server's admission plugins.
    pub admission: Vec<AdmissionPlugin>,
    /// What the API server records, in place of our own policy.
    pub audit_policy: Option<Document>,
}

/// What keeps pods off a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, which may be empty.
    pub value: String,
    /// What happens to pods that do not tolerate it.
    pub effect: Effect,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// No pod comes.
    NoSchedule,
    /// No pod comes if it can go elsewhere.
    PreferNoSchedule,
    /// No pod comes, and those that are there go.
    NoExecute,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        })
    }
}

impl Node {
    /// Makes a node of a cluster from all addresses that it has, best first: the first of each family that the cluster uses
    /// is its own.
    ///
    /// # Errors
    ///
    /// [`Error::NoAddress`] where a family of the cluster is missing.
    pub fn new(cluster: &Cluster, name: NodeName, addresses: &[IpAddr]) -> Result<Self, Error> {
        let usable = |address: &&IpAddr| {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || is_link_local(**address))
        };
        let pods = cluster.pods().iter().chain(cluster.services());
        let outside = |address: &&IpAddr| !pods.clone().any(|network| network.contains(**address));
        let mut own = Vec::new();
        for network in cluster.pods() {
            let family = |address: &&IpAddr| address.is_ipv4() == network.address.is_ipv4();
            let found = addresses.iter().filter(family).filter(usable).find(outside);
            own.push(*found.ok_or_else(|| Error::NoAddress(name.to_string()))?);
        }
        Ok(Self {
            name,
            addresses: own,
            api: cluster.endpoint().to_string(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            layout: Layout::default(),
            ports: Ports::default(),
            runs_proxy: true,
            proxy_mode: None,
            in_container: false,
            cgroups: Cgroups::V2,
            extra: BTreeMap::new(),
            feature_gates: BTreeMap::new(),
            kubelet_config: None,
            admission: Vec::new(),
            audit_policy: None,
        })
    }

    /// Returns its own addresses: one of each family of the cluster, in the cluster's order.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Returns the address by which others know it.
    pub fn address(&self) -> IpAddr {
        self.addresses[0]
    }

    /// Returns a URL of one of its ports, for others.
    pub(crate) fn url(&self, port: u16) -> String {
        format!("https://{}:{port}", in_url(self.address()))
    }
}

/// Where programs, settings and state are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The folder of what is written for the components, in a folder for each: keys, certificates, configs. In memory.
    pub settings: PathBuf,
    /// The folder of etcd's data.
    pub etcd: PathBuf,
    /// The folder of kubelet's data: pods' volumes.
    pub kubelet: PathBuf,
    /// The socket of the container runtime.
    pub runtime: PathBuf,
    /// The file with the node's own name servers.
    pub resolv_conf: PathBuf,
    /// The image of the first process of every pod, which is never cleaned up.
    pub pause_image: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            programs: "/usr/bin".into(),
            settings: "/run/bedplate/services".into(),
            etcd: "/var/lib/etcd".into(),
            kubelet: "/var/lib/kubelet".into(),
            runtime: "/run/containerd/containerd.sock".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            pause_image: "localhost/bedplate/pause:0.1".to_owned(),
        }
    }
}

impl Layout {
    /// Returns a file of a component, each in a folder of its own: no component can read another's keys.
    pub fn file(&self, component: Kind, name: &str) -> PathBuf {
        self.settings.join(component.name()).join(name)
    }

    /// Returns the file of a certificate, by the name of its identity.
    pub fn certificate(&self, component: Kind, identity: &str) -> PathBuf {
        self.file(component, &format!("{identity}.crt"))
    }

    /// Returns the file of a private key, by the name of its identity.
    pub fn key(&self, component: Kind, identity: &str) -> PathBuf {
        self.file(component, &format!("{identity}.key"))
    }

    /// Returns the file of an authority's certificates: of all that are accepted.
    pub fn authority(&self, component: Kind, signer: Signer) -> PathBuf {
        self.certificate(component, signer.file())
    }

    /// Returns the file of the one certificate of an authority that signs.
    pub fn signing_certificate(&self, component: Kind, signer: Signer) -> PathBuf {
        self.certificate(component, signer.signing_file())
    }

    /// Returns the file of its private key.
    pub fn signing_key(&self, component: Kind, signer: Signer) -> PathBuf {
        self.key(component, signer.signing_file())
    }

    /// Returns the file of the key that signs the tokens of service accounts.
    pub fn service_account_key(&self, component: Kind) -> PathBuf {
        self.key(component, "service-account")
    }

    /// Returns the file of its public half: the API server does not read it out of the other.
    pub fn service_account_public_key(&self, component: Kind) -> PathBuf {
        self.file(component, "service-account.pub")
    }

    /// Returns a component's program.
    pub(crate) fn program(&self, component: Kind) -> PathBuf {
        self.programs.join(component.name())
    }
}

/// Writes a path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Which port each component listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The API.
    pub api: u16,
    /// The balancer of all API servers, on the node itself.
    pub api_balancer: u16,
    /// etcd, for the API server.
    pub etcd: u16,
    /// etcd, among its members.
    pub etcd_peer: u16,
    /// etcd's health, on the node itself.
    pub etcd_health: u16,
    /// The controller manager's health, on the node itself.
    pub controller_manager: u16,
    /// The scheduler's health, on the node itself.
    pub scheduler: u16,
    /// Kubelet, for the API server.
    pub kubelet: u16,
    /// Kubelet's health, on the node itself.
    pub kubelet_health: u16,
    /// Kube-proxy's health, which load balancers ask.
    pub proxy_health: u16,
    /// Kube-proxy's figures, on the node itself.
    pub proxy_metrics: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            api: 6443,
            api_balancer: 7445,
            etcd: 2379,
            etcd_peer: 2380,
            etcd_health: 2381,
            controller_manager: 10257,
            scheduler: 10259,
            kubelet: 10250,
            kubelet_health: 10248,
            proxy_health: 10256,
            proxy_metrics: 10249,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_config::value::ClusterNetworks;

    #[test]
    fn names_that_kubernetes_cannot_take_are_refused_with_the_way_out() {
        for fine in ["node1", "rack-1.node", "a"] {
            assert!(fine.parse::<NodeName>().is_ok(), "{fine}");
        }
        for wrong in [
            "",
            "Node1",
            "localhost",
            "localhost.lan",
            "a_b",
            "-a",
            "a.",
            "10.0.0.1",
            &"a".repeat(64),
        ] {
            let error = wrong.parse::<NodeName>().unwrap_err().to_string();
            assert!(error.contains("set machine.hostname"), "{error}");
        }
    }

    #[test]
    fn a_node_s_own_address_is_none_of_pods_services_or_the_link() {
        let networks = ClusterNetworks::new(
            &["10.244.0.0/16".parse().unwrap(), "fd01::/48".parse().unwrap()],
            &["10.96.0.0/12".parse().unwrap(), "fd02::/112".parse().unwrap()],
        );
        let endpoint = "https://10.0.0.9:6443".parse().unwrap();
        let cluster = Cluster::new("home".parse().unwrap(), endpoint, None, networks.unwrap());
        let name: NodeName = "node1".parse().unwrap();
        let all = [
            "127.0.0.1",
            "169.254.1.2",
            "10.244.0.1",
            "10.96.0.1",
            "192.168.1.7",
            "192.168.1.8",
            "fe80::1",
            "fd01::1",
            "fd00::7",
        ];
        let all: Vec<IpAddr> = all.iter().map(|text| text.parse().unwrap()).collect();
        let node = Node::new(&cluster, name.clone(), &all).unwrap();
        assert_eq!(
            node.addresses(),
            [
                "192.168.1.7".parse::<IpAddr>().unwrap(),
                "fd00::7".parse().unwrap()
            ]
        );
        let error = Node::new(&cluster, name, &all[..6]).unwrap_err().to_string();
        assert!(
            error.starts_with("node node1 has no address of its own yet"),
            "{error}"
        );
    }
}
