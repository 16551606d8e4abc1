//! Keeps the network of the node's pods.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::{Cni, Mesh, Proxy};
use machine_config::value::IpPrefix;
use node::packet_filter::Rules;
use state::kinds::{
    AddressStatus, ClusterMember, ClusterNode, KernelContribution, LinkSpec, LinkStatus, NODE,
    NetworkContribution, PodNetworkStatus, Precedence,
};
use state::{Action, Controller, ControllerError, Resource, Store};
use tokio::time::Instant;

use crate::conflist::{BRIDGE, conflist};
use crate::masquerade::ruleset;
use crate::routes::{OwnAddress, Routes, covers, routes};
use crate::{mesh, plugins};

/// The name of the contributions to network and kernel.
const NAME: &str = "pod-network";
/// How often what others may have changed is put right without an event.
const RESYNC: Duration = Duration::from_secs(60);
/// What a member of a cluster needs of the kernel, whoever connects its pods: packets between pods of one bridge go by the rules of
/// services, too, and connections are tracked.
const MODULES: [&str; 2] = ["br_netfilter", "nf_conntrack"];
/// The last three are what kubelet insists on.
const SYSCTLS: [(&str, &str); 5] = [
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.bridge.bridge-nf-call-ip6tables", "1"),
    ("vm.panic_on_oom", "0"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
];

/// The files of the pod network.
#[derive(Debug, Clone)]
pub struct Files {
    /// The config of the CNI plugins, where the container runtime finds it at once.
    pub conflist: PathBuf,
    /// The folder with the image's own plugins.
    pub plugins: PathBuf,
    /// The link by which the container runtime finds plugins.
    pub link: PathBuf,
    /// The folder, on DATA, that others may install plugins into.
    pub others: PathBuf,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            conflist: "/etc/cni/net.d/10-bedplate.conflist".into(),
            plugins: "/usr/lib/cni".into(),
            link: "/etc/cni/bin".into(),
            others: "/var/lib/cni/bin".into(),
        }
    }
}

/// Connects the node's pods to one another and to the world. Sole owner of [`PodNetworkStatus`].
pub struct PodNetwork<R> {
    files: Files,
    rules: R,
    /// The rules in force, and since when.
    applied: Option<(String, Instant)>,
}

/// What the node's pods need.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// Nothing: the node has no Kubernetes.
    Nothing,
    /// These rules alone: somebody else connects its pods.
    Others(String),
    /// Nothing new: it is not known yet.
    AsItIs,
    /// This.
    Network(Box<Network>),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Network {
    /// The config of the CNI plugins; none while the node has no networks of pods.
    conflist: Option<String>,
    rules: String,
    routes: Routes,
    pods: Vec<IpPrefix>,
    waits_for: Option<String>,
}

/// Decides what the pods of a member need. Pure.
fn network(
    member: &ClusterMember,
    nodes: &[(String, ClusterNode)],
    own: &[OwnAddress],
    links: &[(String, LinkStatus)],
    mesh: Mesh,
) -> Network {
    let here = nodes.iter().find(|(name, _)| *name == member.node);
    let pods = here.map(|(_, node)| node.pods.clone()).unwrap_or_default();
    let (pods, foreign): (Vec<_>, Vec<_>) = pods
        .into_iter()
        .partition(|network| member.pods.iter().any(|all| covers(*all, *network)));
    let mut routes = routes(member, own, nodes, mesh);
    routes.problems.extend(foreign.iter().map(|network| {
        format!("the cluster gives this node the network {network}, which is not one of pods: it is not used")
    }));
    let outside = own.first().map(|own| &own.link);
    let mtu = outside.and_then(|link| links.iter().find(|(name, _)| name == link));
    let mtu = mtu.map(|(_, link)| mesh::mtu(mesh, link.mtu));
    let waits_for = match here {
        None => Some(format!("the cluster does not know node {} yet", member.node)),
        Some(_) if pods.is_empty() => Some(format!(
            "the cluster has not given node {} a network of pods yet",
            member.node
        )),
        Some(_) => None,
    };
    Network {
        conflist: (!pods.is_empty()).then(|| conflist(&pods, mtu)),
        rules: ruleset(&member.pods, &member.dns),
        routes,
        pods,
        waits_for,
    }
}

/// Reads what the pods need out of the store.
fn wanted(store: &Store) -> Wanted {
    let config = store.get::<MachineConfig>(NODE);
    let cluster = config
        .map(|config| config.cluster)
        .filter(|cluster| cluster.ca.is_some());
    let Some(cluster) = cluster else {
        return Wanted::Nothing;
    };
    // Its addresses may be away for a moment.
    let Some(member) = store.get::<ClusterMember>(NODE) else {
        return Wanted::AsItIs;
    };
    if cluster.network.cni == Cni::None {
        // Without kube-proxy nothing is in the way.
        let proxied = cluster.network.proxy != Proxy::None;
        return Wanted::Others(ruleset(&[], if proxied { &member.dns } else { &[] }));
    }
    let own = own_addresses(store, &member);
    let network = network(&member, &store.list(), &own, &store.list(), cluster.network.mesh);
    Wanted::Network(Box::new(network))
}

/// Lists the addresses by which others reach the node, best first.
pub(crate) fn own_addresses(store: &Store, member: &ClusterMember) -> Vec<OwnAddress> {
    let managed = store.list::<LinkSpec>();
    let inner = [BRIDGE, mesh::INTERFACE];
    let mut own: Vec<OwnAddress> = store
        .list::<AddressStatus>()
        .into_iter()
        .map(|(_, status)| status)
        .filter(|status| !inner.contains(&status.link.as_str()))
        .filter(|status| managed.iter().any(|(link, _)| *link == status.link))
        .map(|AddressStatus { link, address, .. }| OwnAddress { link, address })
        .collect();
    // The interface by which others know the node, where several are in one network.
    own.sort_by_key(|own| !member.addresses.contains(&own.address.address));
    own
}

impl<R: Rules> PodNetwork<R> {
    /// Makes the controller.
    pub fn new(files: Files, rules: R) -> Self {
        Self {
            files,
            rules,
            applied: None,
        }
    }

    /// Puts the rules in force where they are new, or it is some time ago.
    async fn apply(&mut self, rules: &str) -> Result<(), ControllerError> {
        let fresh = |(applied, since): &(String, Instant)| applied == rules && since.elapsed() < RESYNC;
        if self.applied.as_ref().is_some_and(fresh) {
            return Ok(());
        }
        self.rules.apply(rules).await?;
        self.applied = Some((rules.to_owned(), Instant::now()));
        Ok(())
    }

    /// Removes what connects pods, and leaves these rules.
    async fn remove(&mut self, store: &Store, rules: &str) -> Result<(), ControllerError> {
        store.remove::<NetworkContribution>(NAME, NAME)?;
        store.remove::<PodNetworkStatus>(NAME, NODE)?;
        match fs::remove_file(&self.files.conflist) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => (),
        }
        if rules != ruleset(&[], &[]) {
            return self.apply(rules).await;
        }
        if self.applied.is_some() {
            self.rules.apply(rules).await?;
            self.applied = None;
        }
        Ok(())
    }

    async fn keep(&mut self, store: &Store, network: Network) -> Result<(), ControllerError> {
        let mut contribution = NetworkContribution::new(Precedence::Node);
        contribution.routes = network.routes.routes;
        let status = PodNetworkStatus {
            pods: network.pods,
            routes: u32::try_from(contribution.routes.len()).unwrap_or(u32::MAX),
            waits_for: network.waits_for,
            problems: network.routes.problems,
        };
        store.put(NAME, NAME, contribution)?;
        store.put(NAME, NODE, status)?;
        // What was handed out before stays good while the cluster has not said anything new.
        if let Some(conflist) = network.conflist {
            write(&self.files.conflist, &conflist)?;
        }
        self.apply(&network.rules).await
    }
}

/// Writes a file where it differs, at once and as a whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    sys::durable::write(path, text.as_bytes(), 0o644)
}

/// What a member of a cluster needs of the kernel.
fn kernel() -> KernelContribution {
    KernelContribution {
        modules: MODULES.map(str::to_owned).to_vec(),
        sysctls: SYSCTLS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

#[async_trait]
impl<R: Rules> Controller for PodNetwork<R> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            ClusterNode::KIND,
            AddressStatus::KIND,
            LinkStatus::KIND,
            LinkSpec::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[PodNetworkStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[KernelContribution::KIND, NetworkContribution::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        if store.get::<ClusterMember>(NODE).is_some() {
            store.put(NAME, NAME, kernel())?;
        }
        let wanted = wanted(store);
        // Before anything that may fail: a plugin of others is copied by a pod, which may start at any moment.
        let plugins = match &wanted {
            Wanted::AsItIs => Ok(()),
            Wanted::Others(_) => plugins::for_others(&self.files),
            Wanted::Nothing | Wanted::Network(_) => plugins::own(&self.files),
        };
        match wanted {
            Wanted::Nothing => self.remove(store, &ruleset(&[], &[])).await?,
            Wanted::Others(rules) => self.remove(store, &rules).await?,
            Wanted::AsItIs => (),
            Wanted::Network(network) => self.keep(store, *network).await?,
        }
        plugins?;
        Ok(Action::After(RESYNC))
    }
}

#[cfg(test)]
pub(crate) mod tests;
