//! Keeps the node's end of the mesh.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::v1alpha1::{self, Cni};
use machine_config::value::IpPrefix;
use state::kinds::{
    AddressStatus, ClusterMember, ClusterNode, ContributedAddress, KernelContribution, LinkKind,
    LinkSettings, LinkSpec, LinkStatus, MeshStatus, NODE, NetworkContribution, Precedence,
};
use state::{Action, Controller, ControllerError, Resource, Store};

use super::key::PrivateKey;
use super::update::update;
use super::wireguard::Tunnel;
use super::{INTERFACE, Peer, mtu};
use crate::controller::own_addresses;
use crate::routes::{covers, routes};

/// The name of the contributions to network and kernel.
const NAME: &str = "mesh";
/// How often what others may have changed is put right without an event.
const RESYNC: Duration = Duration::from_secs(60);

/// Keeps an encrypted interface to the other nodes. Sole owner of [`MeshStatus`].
pub struct Mesh<T> {
    file: PathBuf,
    tunnel: T,
    key: Option<PrivateKey>,
    /// What the kernel was told, and for which interface, by its number.
    told: Option<(u32, BTreeMap<String, Peer>)>,
}

impl<T: Tunnel> Mesh<T> {
    /// Makes the controller. The node's key is in a file on STATE.
    pub fn new(file: PathBuf, tunnel: T) -> Self {
        Self {
            file,
            tunnel,
            key: None,
            told: None,
        }
    }

    async fn remove(&mut self, store: &Store) -> Result<(), ControllerError> {
        store.remove::<MeshStatus>(NAME, NODE)?;
        store.remove::<NetworkContribution>(NAME, NAME)?;
        store.remove::<KernelContribution>(NAME, NAME)?;
        (self.key, self.told) = (None, None);
        // Also one from before a restart of the agent, in a container.
        let link = store.get::<LinkStatus>(INTERFACE);
        if link.is_some_and(|link| is_wireguard(&link.kind)) {
            self.tunnel.remove().await?;
        }
        Ok(())
    }

    async fn keep(
        &mut self,
        store: &Store,
        member: &ClusterMember,
        mode: v1alpha1::Mesh,
    ) -> Result<(), ControllerError> {
        let kernel = KernelContribution {
            modules: vec!["wireguard".to_owned()],
            ..KernelContribution::default()
        };
        store.put(NAME, NAME, kernel)?;
        let key = match self.key.take() {
            Some(key) => self.key.insert(key),
            None => self.key.insert(PrivateKey::load(&self.file)?),
        };
        let (own, nodes) = (own_addresses(store, member), store.list::<ClusterNode>());
        let peers = routes(member, &own, &nodes, mode).peers;
        let status = MeshStatus {
            interface: INTERFACE.to_owned(),
            public_key: key.public().to_string(),
            peers: peers
                .iter()
                .map(|(name, peer)| (name.clone(), peer.endpoint))
                .collect(),
        };
        // Before there is an interface: others may begin with what they have to do.
        store.put(NAME, NODE, status)?;
        let links = store.list::<LinkStatus>();
        let found = links
            .iter()
            .find(|(name, _)| name == INTERFACE)
            .map(|(_, link)| link);
        let Some(link) = found.filter(|link| is_wireguard(&link.kind)) else {
            self.told = None;
            // Nobody waits for an interface that a kernel without WireGuard never has.
            store.remove::<NetworkContribution>(NAME, NAME)?;
            // The event of its making calls again.
            return Ok(self.tunnel.make().await?);
        };
        let here = nodes.iter().find(|(name, _)| *name == member.node);
        let pods = here.map(|(_, node)| node.pods.as_slice()).unwrap_or_default();
        let outside = own.first().map(|own| own.link.as_str());
        let outside = links.iter().find(|(name, _)| Some(name.as_str()) == outside);
        let mtu = outside.map(|(_, link)| mtu(mode, link.mtu));
        store.put(NAME, NAME, contribution(member, pods, mtu))?;
        let before = self.told.take().filter(|(index, _)| *index == link.index);
        if let Some(update) = update(before.as_ref().map(|(_, peers)| peers), &peers) {
            self.tunnel.set(key.bytes(), &update).await?;
        }
        self.told = Some((link.index, peers));
        Ok(())
    }
}

fn is_wireguard(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Virtual { driver } if driver == "wireguard")
}

/// Asks for the interface to be switched on, and for the addresses that the node itself speaks from to pods of others: answers to
/// these come back through the mesh. Pure.
fn contribution(member: &ClusterMember, pods: &[IpPrefix], mtu: Option<u32>) -> NetworkContribution {
    let mut contribution = NetworkContribution::new(Precedence::Node);
    let settings = LinkSettings {
        managed: true,
        mtu,
        accepts_routers: None,
    };
    contribution.links.insert(INTERFACE.to_owned(), settings);
    let believed = pods
        .iter()
        .filter(|network| member.pods.iter().any(|all| covers(*all, **network)));
    contribution.addresses = believed
        .map(|network| ContributedAddress {
            link: INTERFACE.to_owned(),
            // The first address of the network, which no pod has.
            address: IpPrefix {
                address: network.network().address,
                length: if network.address.is_ipv4() { 32 } else { 128 },
            },
        })
        .collect();
    contribution
}

#[async_trait]
impl<T: Tunnel> Controller for Mesh<T> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            ClusterNode::KIND,
            AddressStatus::KIND,
            LinkSpec::KIND,
            LinkStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[MeshStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[KernelContribution::KIND, NetworkContribution::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let cluster = store.get::<MachineConfig>(NODE).map(|config| config.cluster);
        let mode = cluster
            .filter(|cluster| cluster.ca.is_some() && cluster.network.cni == Cni::Bridge)
            .map_or(v1alpha1::Mesh::None, |cluster| cluster.network.mesh);
        if mode == v1alpha1::Mesh::None {
            self.remove(store).await?;
            return Ok(Action::WaitForChange);
        }
        // Its addresses may be away for a moment.
        if let Some(member) = store.get::<ClusterMember>(NODE) {
            self.keep(store, &member, mode).await?;
        }
        Ok(Action::After(RESYNC))
    }
}

#[cfg(test)]
mod tests;
