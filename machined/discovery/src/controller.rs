//! Keeps the tasks on the interfaces, and publishes what they heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use machine_config::MachineConfig;
use machine_config::value::IpPrefix;
use state::kinds::{
    AddressStatus, ClusterMember, ClusterPeer, DiscoveryStatus, HostNameStatus, LinkSpec, LinkStatus, NODE,
    NameSource,
};
use state::{Action, Controller, ControllerError, Resource, Store};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::plan::{Facts, Known, facts, peers};
use crate::socket::{Heard, speak};

const NAME: &str = "discovery";

/// Lets the node be found on its local networks, and finds others of its cluster. Sole owner of [`DiscoveryStatus`], and owner
/// of the [`ClusterPeer`]s named `mdns/NODE`.
#[derive(Default)]
pub struct Discovery {
    heard: Heard,
    links: BTreeMap<(String, u32), OnLink>,
}

/// A task on an interface, and what it is told.
struct OnLink {
    facts: watch::Sender<Facts>,
    _task: AbortOnDropHandle<()>,
}

impl Discovery {
    /// Makes the tasks those of these interfaces.
    fn keep(&mut self, mut wanted: BTreeMap<(String, u32), Facts>) {
        self.links.retain(|link, _| wanted.contains_key(link));
        for (link, on) in &self.links {
            if let Some(facts) = wanted.remove(link) {
                on.facts.send_if_modified(|before| {
                    let changed = *before != facts;
                    *before = facts;
                    changed
                });
            }
        }
        for ((link, index), facts) in wanted {
            let (sender, receiver) = watch::channel(facts);
            let task = speak(link.clone(), index, receiver, self.heard.clone());
            let on = OnLink {
                facts: sender,
                _task: task,
            };
            self.links.insert((link, index), on);
        }
    }
}

/// Decides what the node says where, from what the store holds.
fn wanted(store: &Store) -> Result<BTreeMap<(String, u32), Facts>, ControllerError> {
    let named = |status: &HostNameStatus| status.source != NameSource::Default;
    let Some(hostname) = store.get::<HostNameStatus>(NODE).filter(named) else {
        return Ok(BTreeMap::new());
    };
    let (config, member) = (store.get::<MachineConfig>(NODE), store.get::<ClusterMember>(NODE));
    let managed: Vec<String> = store
        .list::<LinkSpec>()
        .into_iter()
        .map(|(link, _)| link)
        .collect();
    let addresses: Vec<AddressStatus> = store.list().into_iter().map(|(_, found)| found).collect();
    Ok(facts(&Known {
        config: config.as_ref(),
        member: member.as_ref(),
        hostname: &hostname.name,
        links: &store.list::<LinkStatus>(),
        managed: &managed,
        addresses: &addresses,
    })?)
}

#[async_trait]
impl Controller for Discovery {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            HostNameStatus::KIND,
            LinkSpec::KIND,
            LinkStatus::KIND,
            AddressStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[DiscoveryStatus::KIND]
    }

    fn shared_outputs(&self) -> &'static [&'static str] {
        &[ClusterPeer::KIND]
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.heard.bell())
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let wanted = wanted(store)?;
        let said = wanted.values().filter_map(|facts| facts.announcement.as_ref());
        let me = said.map(|said| said.node.to_string()).next().unwrap_or_default();
        let own: Vec<IpPrefix> = wanted.values().flat_map(|facts| facts.networks.clone()).collect();
        let on = !wanted.is_empty();
        self.keep(wanted);
        let heard = self.heard.all();
        let found = peers(&me, &own, heard.values().flat_map(|heard| &heard.peers));
        store.replace::<ClusterPeer>(NAME, found)?;
        if on {
            let names = heard
                .into_iter()
                .filter_map(|(link, heard)| Some((link, heard.name?)));
            let status = DiscoveryStatus {
                names: names.collect(),
            };
            store.put(NAME, NODE, status)?;
        } else {
            store.remove::<DiscoveryStatus>(NAME, NODE)?;
        }
        Ok(Action::WaitForChange)
    }
}

#[cfg(test)]
pub(crate) mod tests;
