//! The owner of [`EtcdMembership`].

use std::sync::Arc;

use async_trait::async_trait;
use machine_config::MachineConfig;
use node::events::Events;
use state::kinds::{
    ClusterMember, EtcdMembership, EtcdStart, NODE, ServiceHealth, ServiceStatus, Volume, VolumeStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store};
use tokio::sync::Notify;

use crate::decide::{Facts, Start, start};
use crate::places::{Data, Places};

const NAME: &str = "etcd-membership";
/// The name of etcd's service.
const SERVICE: &str = "etcd";
/// What a person has to do before anything else.
const BOOTSTRAP: &str = "the cluster to be bootstrapped: run `bedplate bootstrap` once, on one control plane";

/// Decides how the node's etcd starts, and keeps to it while the machine runs.
pub struct EtcdMembershipController {
    places: Places,
    events: Events,
    bell: Arc<Notify>,
}

impl EtcdMembershipController {
    /// Makes the controller. The bell is that of the [`EtcdHandle`](crate::EtcdHandle).
    pub(crate) fn new(places: Places, events: Events, bell: Arc<Notify>) -> Self {
        Self { places, events, bell }
    }

    /// Decides for the first time since the machine was started: etcd does not run yet.
    fn decide(&self, store: &Store, cluster: &str) -> Result<EtcdMembership, ControllerError> {
        let volume: Option<VolumeStatus> = store.get(Volume::Data.partition());
        let (owner, bootstrap) = (self.places.owner(), self.places.bootstrap());
        let found = start(&Facts {
            cluster,
            volume: volume.as_ref().map(|volume| &volume.state),
            data: self.places.data()?,
            owner: owner.as_deref(),
            bootstrap: bootstrap.as_deref(),
        });
        let (start, waits_for) = match found {
            Start::Not(why) => (EtcdStart::NotYet, Some(why)),
            Start::Asks => (EtcdStart::NotYet, Some(BOOTSTRAP.to_owned())),
            Start::GoesOn => (EtcdStart::Joins(Vec::new()), None),
            Start::First { remove } => {
                if remove {
                    self.places.remove_log()?;
                }
                (EtcdStart::First, None)
            }
        };
        if start != EtcdStart::NotYet && owner.as_deref() != Some(cluster) {
            self.places.set_owner(cluster)?;
        }
        Ok(EtcdMembership { start, waits_for })
    }

    /// Forgets the request to bootstrap once etcd is healthy: from then on it holds what others have written.
    fn has_begun(&self, store: &Store) -> Result<(), ControllerError> {
        let service: Option<ServiceStatus> = store.get(SERVICE);
        let healthy = service.is_some_and(|status| status.health == ServiceHealth::Healthy);
        if healthy && self.places.bootstrap().is_some() && self.places.data()? == Data::Present {
            self.places.forget_bootstrap()?;
            self.events.info("etcd", "the cluster is bootstrapped");
        }
        Ok(())
    }
}

/// Returns the identity of a config's cluster.
pub(crate) fn cluster_id(config: &MachineConfig) -> String {
    let cluster = &config.cluster;
    let id = cluster.id.as_ref().or(cluster.name.as_ref());
    id.map(ToString::to_string).unwrap_or_default()
}

#[async_trait]
impl Controller for EtcdMembershipController {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[
            MachineConfig::KIND,
            ClusterMember::KIND,
            ServiceStatus::KIND,
            VolumeStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[EtcdMembership::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let member: Option<ClusterMember> = store.get(NODE);
        let config: Option<MachineConfig> = store.get(NODE);
        let (Some(_), Some(config)) = (member.filter(|member| member.control_plane), config) else {
            store.remove::<EtcdMembership>(NAME, NODE)?;
            return Ok(Action::WaitForChange);
        };
        let known: Option<EtcdMembership> = store.get(NODE);
        match known.filter(|known| known.start != EtcdStart::NotYet) {
            // Another start would mean other arguments, and to stop what runs.
            Some(_) => self.has_begun(store)?,
            None => {
                let decided = self.decide(store, &cluster_id(&config))?;
                store.put(NAME, NODE, decided)?;
            }
        }
        Ok(Action::WaitForChange)
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.bell.clone())
    }
}
