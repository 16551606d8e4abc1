//! Who is who: the certificates that components show each other.

use machine_config::value::Host;

use crate::{Cluster, Kind, Node};

/// The organization whose members may do everything.
pub const ADMINISTRATORS: &str = "system:masters";
/// The organization of kubelets.
const NODES: &str = "system:nodes";

/// An authority of the cluster. Each vouches for its own kind of client, and for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signer {
    /// For etcd's members and clients.
    Etcd,
    /// For the API's server, its components, its nodes and its users.
    Kubernetes,
    /// For the API server as it passes a call on to an extension of the API.
    FrontProxy,
}

impl Signer {
    /// Every authority.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::Kubernetes, Self::FrontProxy];

    /// Returns the name of its files, without their ends.
    pub fn file(self) -> &'static str {
        match self {
            Self::Etcd => "etcd-ca",
            Self::Kubernetes => "ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }

    /// Returns the name of the files that it signs with, without their ends: its own certificate, beside which no other is
    /// accepted, and its key.
    pub fn signing_file(self) -> &'static str {
        match self {
            Self::Etcd => "etcd-ca-signing",
            Self::Kubernetes => "ca-signing",
            Self::FrontProxy => "front-proxy-ca-signing",
        }
    }
}

/// A certificate that a component shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name of its files, without their ends.
    pub file: &'static str,
    /// Who signs it.
    pub signer: Signer,
    /// The common name: the user, for the API.
    pub name: String,
    /// The organization: the group, for the API.
    pub organization: Option<String>,
    /// Names and addresses that it serves under.
    pub alternative_names: Vec<String>,
    /// Set when it proves who a client is.
    pub client: bool,
    /// Set when it proves who a server is.
    pub server: bool,
}

impl Identity {
    fn client(file: &'static str, signer: Signer, name: impl Into<String>) -> Self {
        Self {
            file,
            signer,
            name: name.into(),
            organization: None,
            alternative_names: Vec::new(),
            client: true,
            server: false,
        }
    }

    fn of(self, organization: &str) -> Self {
        Self {
            organization: Some(organization.to_owned()),
            ..self
        }
    }

    /// Makes it a server's, too.
    fn serving(self, names: impl IntoIterator<Item = String>) -> Self {
        let mut alternative_names: Vec<String> = Vec::new();
        for name in names {
            if !alternative_names.contains(&name) {
                alternative_names.push(name);
            }
        }
        Self {
            alternative_names,
            server: true,
            ..self
        }
    }

    /// Makes it a server's only.
    fn server_only(self) -> Self {
        Self {
            client: false,
            ..self
        }
    }
}

/// Under which names a program is reached from its own node.
fn here() -> [String; 3] {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned)
}

/// Under which names a node is reached by others.
fn there(node: &Node) -> impl Iterator<Item = String> {
    let addresses = node.addresses().iter().map(ToString::to_string);
    std::iter::once(node.name.to_string()).chain(addresses)
}

/// Returns etcd's own, for its clients. It is a client of itself, too.
pub(crate) fn etcd_server(node: &Node) -> Identity {
    Identity::client("server", Signer::Etcd, node.name.as_str()).serving(there(node).chain(here()))
}

/// Returns etcd's own, among its members.
pub(crate) fn etcd_peer(node: &Node) -> Identity {
    Identity::client("peer", Signer::Etcd, node.name.as_str()).serving(there(node))
}

/// Returns the API server's, towards etcd.
pub(crate) fn etcd_client() -> Identity {
    Identity::client("etcd-client", Signer::Etcd, "kube-apiserver")
}

/// Returns the API server's, for everybody.
pub(crate) fn api_server(cluster: &Cluster, node: &Node, names: &[Host]) -> Identity {
    let domain = cluster.domain();
    let service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
    let all = service
        .into_iter()
        .chain([format!("kubernetes.default.svc.{domain}")])
        .chain(
            cluster
                .api_service()
                .into_iter()
                .map(|address| address.to_string()),
        )
        .chain([cluster.endpoint_host().to_owned()])
        .chain(names.iter().map(ToString::to_string))
        .chain(there(node))
        .chain(here());
    Identity::client("apiserver", Signer::Kubernetes, "kube-apiserver")
        .serving(all)
        .server_only()
}

/// Returns the API server's, towards kubelets.
pub(crate) fn kubelet_client() -> Identity {
    Identity::client(
        "apiserver-kubelet-client",
        Signer::Kubernetes,
        "kube-apiserver-kubelet-client",
    )
    .of(ADMINISTRATORS)
}

/// Returns the API server's, towards extensions of the API.
pub(crate) fn front_proxy() -> Identity {
    Identity::client("front-proxy-client", Signer::FrontProxy, FRONT_PROXY)
}

/// The name by which extensions know the API server.
pub(crate) const FRONT_PROXY: &str = "front-proxy-client";

/// Returns the node's own, to ask for the API's health. It may do nothing else.
pub(crate) fn health() -> Identity {
    Identity::client("health", Signer::Kubernetes, "bedplate:health")
}

/// Returns the controller manager's.
pub(crate) fn controller_manager() -> Identity {
    Identity::client(
        "controller-manager",
        Signer::Kubernetes,
        "system:kube-controller-manager",
    )
    .serving(here())
}

/// Returns the scheduler's.
pub(crate) fn scheduler() -> Identity {
    Identity::client("scheduler", Signer::Kubernetes, "system:kube-scheduler").serving(here())
}

/// Returns kubelet's, towards the API.
pub(crate) fn kubelet(node: &Node) -> Identity {
    Identity::client(
        "kubelet-client",
        Signer::Kubernetes,
        format!("system:node:{}", node.name),
    )
    .of(NODES)
}

/// Returns kubelet's, for the API server: so that logs come from the node that was asked.
pub(crate) fn kubelet_server(node: &Node) -> Identity {
    let identity = Identity::client(
        "kubelet",
        Signer::Kubernetes,
        format!("system:node:{}", node.name),
    )
    .of(NODES);
    identity.serving(there(node)).server_only()
}

/// Returns kube-proxy's.
pub(crate) fn proxy() -> Identity {
    Identity::client("kube-proxy", Signer::Kubernetes, "system:kube-proxy")
}

/// Returns a user's with every right. The name stands in the API's audit.
pub fn administrator(user: &str) -> Identity {
    Identity::client("admin", Signer::Kubernetes, user).of(ADMINISTRATORS)
}

/// The organization of the agents on nodes. What it may do is in the manifests that control planes apply.
pub const AGENTS: &str = "bedplate:nodes";

/// What stands before the node's name in the names of agents.
pub const AGENT_PREFIX: &str = "bedplate:node:";

/// Returns what a worker shows: that of its kubelet, its kube-proxy and its agent. Each has the name of its certificate on the
/// node before it, as `COMPONENT/FILE`.
pub fn of_worker(node: &Node) -> Vec<(String, Identity)> {
    let all = [
        (Kind::Kubelet.name(), kubelet(node)),
        (Kind::Kubelet.name(), kubelet_server(node)),
        (Kind::Proxy.name(), proxy()),
        ("bedplate", agent(node)),
    ];
    let named =
        |(component, identity): (&str, Identity)| (format!("{component}/{}", identity.file), identity);
    all.into_iter().map(named).collect()
}

/// Returns that of the node's agent, towards the API.
pub fn agent(node: &Node) -> Identity {
    Identity::client(
        "kubernetes",
        Signer::Kubernetes,
        format!("{AGENT_PREFIX}{}", node.name),
    )
    .of(AGENTS)
}

/// Returns that of a control plane's agent, towards the API: it may do everything.
pub fn administrating_agent(node: &Node) -> Identity {
    agent(node).of(ADMINISTRATORS)
}

/// Returns that of a control plane's agent, towards etcd.
pub fn agent_of_etcd(node: &Node) -> Identity {
    Identity::client("etcd", Signer::Etcd, format!("{AGENT_PREFIX}{}", node.name))
}
