//! The owner of [`EtcdMembership`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::Credentials;
use machine_config::MachineConfig;
use node::events::Events;
use state::kinds::{
    ClusterMember, ComponentCertificate, EtcdDisk, EtcdMemberStatus, EtcdMembership, EtcdStart, EtcdStatus,
    NODE, ServiceHealth, ServiceState, ServiceStatus, Volume, VolumeStatus,
};
use state::{Action, Controller, ControllerError, Resource, Store, chain};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::decide::{Facts, Start, start};
use crate::peers::Ports;
use crate::places::{Data, Note, Places};
use crate::survey::Seen;

pub(crate) const NAME: &str = "etcd-membership";
/// The name of etcd's service.
pub(crate) const SERVICE: &str = "etcd";
/// How long until others are asked again.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Decides how the node's etcd starts, brings it to the others, and keeps it there.
pub struct EtcdMembershipController {
    pub(crate) places: Places,
    pub(crate) ports: Ports,
    pub(crate) events: Events,
    bell: Arc<Notify>,
    /// Held while a request to bootstrap or to recover is answered.
    turn: Arc<Mutex<()>>,
    /// Since when each member is silent.
    silent: BTreeMap<u64, Instant>,
    /// Since when each learner is one.
    learners: BTreeMap<u64, Instant>,
    /// What was told last, so that it is told once.
    told: Option<String>,
    /// Set when the cluster's name stands in etcd.
    pub(crate) claimed: bool,
}

/// The node, as far as etcd is concerned.
pub(crate) struct Node {
    /// What it is in its cluster.
    pub member: ClusterMember,
    /// Its address for other members.
    pub address: IpAddr,
    /// The identity of its cluster.
    pub cluster: String,
}

/// What a step found, and when the next one is due.
pub(crate) struct Outcome {
    pub start: EtcdStart,
    pub waits_for: Option<String>,
    pub again: Action,
}

impl Outcome {
    /// Not yet: what the node waits for, and until it is looked at again.
    pub fn waits(for_what: impl Into<String>, again: Action) -> Self {
        Self {
            start: EtcdStart::NotYet,
            waits_for: Some(for_what.into()),
            again,
        }
    }

    /// It starts, and is looked at again at once.
    pub fn starts(start: EtcdStart) -> Self {
        Self {
            start,
            waits_for: None,
            again: Action::After(SOON),
        }
    }
}

impl EtcdMembershipController {
    /// Makes the controller. The bell is that of the [`EtcdHandle`](crate::EtcdHandle).
    pub(crate) fn new(
        places: Places,
        ports: Ports,
        events: Events,
        bell: Arc<Notify>,
        turn: Arc<Mutex<()>>,
    ) -> Self {
        Self {
            places,
            ports,
            events,
            bell,
            turn,
            silent: BTreeMap::new(),
            learners: BTreeMap::new(),
            told: None,
            claimed: false,
        }
    }

    /// Decides how etcd is to start while it does not run.
    async fn arrive(&mut self, store: &Store, node: &Node) -> Result<Outcome, ControllerError> {
        if self.places.has_left() {
            return Ok(Outcome::waits(
                "the next start of the machine: the node has left etcd on request; run `bedplate reboot` to join again",
                Action::WaitForChange,
            ));
        }
        let mut note = self.places.note().unwrap_or_default();
        if note.removed {
            if !is_stopped(store) {
                return Ok(Outcome::waits(
                    "etcd to end, whose data are put aside",
                    Action::WaitForChange,
                ));
            }
            self.places.put_aside()?;
            note.removed = false;
            note.member = None;
            self.places.set_note(&note)?;
        }
        let volume: Option<VolumeStatus> = store.get(Volume::Data.partition());
        let bootstrap = self.places.bootstrap();
        let recovery = self.recovery()?;
        let found = start(&Facts {
            cluster: &node.cluster,
            volume: volume.as_ref().map(|volume| &volume.state),
            data: self.places.data()?,
            owner: Some(note.cluster.as_str()).filter(|owner| !owner.is_empty()),
            bootstrap: bootstrap.as_deref(),
            recovery: recovery.as_deref(),
        });
        match found {
            Start::Not(why) => Ok(Outcome::waits(why, Action::WaitForChange)),
            // What follows from it are arguments of etcd: a later answer would stop what has just started.
            _ if store.get::<EtcdDisk>(NODE).is_none() => {
                Ok(Outcome::waits("the disk to be measured", Action::WaitForChange))
            }
            Start::Asks => self.join(store, node).await,
            Start::Recovers => {
                let cluster = node.cluster.clone();
                self.places.set_note(&Note {
                    cluster,
                    ..Note::default()
                })?;
                if !self.places.install_recovery()? {
                    self.places.forget_recovery()?;
                    self.events.error(
                        "etcd",
                        "the data that were restored are gone; recover from the snapshot again",
                    );
                    return self.join(store, node).await;
                }
                Ok(Outcome::starts(EtcdStart::Joins(Vec::new())))
            }
            Start::GoesOn => {
                self.own(node, note)?;
                Ok(Outcome::starts(EtcdStart::Joins(Vec::new())))
            }
            Start::First { remove } => {
                if remove {
                    self.places.remove_log()?;
                }
                self.own(node, note)?;
                Ok(Outcome::starts(EtcdStart::First))
            }
        }
    }

    /// Returns the cluster whose restored data are ready, after what a recovery that was cut off has left is removed.
    fn recovery(&self) -> Result<Option<String>, ControllerError> {
        let recovery = self.places.recovery();
        // While somebody has the turn, it is not cut off.
        if recovery.is_none()
            && let Ok(_turn) = self.turn.try_lock()
        {
            self.places.clear_recovery()?;
        }
        Ok(recovery.map(|recovery| recovery.cluster))
    }

    /// Says on the disk whose etcd's data are, before there are any.
    fn own(&self, node: &Node, note: Note) -> Result<(), ControllerError> {
        let cluster = node.cluster.clone();
        Ok(self.places.set_note(&Note { cluster, ..note })?)
    }

    /// Forgets the request to bootstrap or to recover once etcd is healthy: from then on it holds what others have written.
    fn has_begun(&self, store: &Store) -> Result<(), ControllerError> {
        let service: Option<ServiceStatus> = store.get(SERVICE);
        let healthy = service.is_some_and(|status| status.health == ServiceHealth::Healthy);
        let replaced = self.places.note().is_some_and(|note| note.removed);
        if !healthy || replaced || self.places.data()? != Data::Present {
            return Ok(());
        }
        if self.places.bootstrap().is_some() {
            self.places.forget_bootstrap()?;
            self.events.info("etcd", "the cluster is bootstrapped");
        }
        if self.places.recovery().is_some() {
            self.places.forget_recovery()?;
            self.events
                .info("etcd", "the cluster is recovered from the snapshot");
        }
        Ok(())
    }

    /// Counts for how long members are silent.
    pub(crate) fn count_silence(&mut self, members: &[Seen]) -> BTreeMap<u64, Duration> {
        count(&mut self.silent, members.iter().filter(|member| !member.answers))
    }

    /// Counts for how long learners are learners.
    pub(crate) fn count_learning(&mut self, members: &[Seen]) -> BTreeMap<u64, Duration> {
        count(&mut self.learners, members.iter().filter(|member| member.learner))
    }

    /// Writes what the node waits for into the log, once.
    fn tell(&mut self, waits_for: Option<&String>) {
        if self.told.as_ref() != waits_for {
            if let Some(why) = waits_for {
                tracing::info!("etcd waits: {why}");
            }
            self.told = waits_for.cloned();
        }
    }
}

/// Counts for how long something holds of members, from the first time that it did.
fn count<'a>(
    since: &mut BTreeMap<u64, Instant>,
    holds: impl Iterator<Item = &'a Seen>,
) -> BTreeMap<u64, Duration> {
    let now = Instant::now();
    *since = holds
        .map(|member| (member.id, *since.get(&member.id).unwrap_or(&now)))
        .collect();
    let lasting = |(id, since): (&u64, &Instant)| (*id, now.duration_since(*since));
    since.iter().map(lasting).collect()
}

/// Tells whether etcd does not run.
fn is_stopped(store: &Store) -> bool {
    let service: Option<ServiceStatus> = store.get(SERVICE);
    service.is_none_or(|status| status.state == ServiceState::Stopped)
}

/// Returns the identity of a config's cluster.
pub(crate) fn cluster_id(config: &MachineConfig) -> String {
    let cluster = &config.cluster;
    let id = cluster.id.as_ref().or(cluster.name.as_ref());
    id.map(ToString::to_string).unwrap_or_default()
}

/// Returns the node as a control plane; none where it is none.
pub(crate) fn control_plane(store: &Store) -> Option<Node> {
    let member: ClusterMember = store.get(NODE)?;
    let config: MachineConfig = store.get(NODE)?;
    Some(Node {
        address: *member.addresses.first().filter(|_| member.control_plane)?,
        cluster: cluster_id(&config),
        member,
    })
}

/// Returns what the node shows to etcd, or what it waits for.
pub(crate) fn credentials(store: &Store) -> Result<Credentials, String> {
    Credentials::of_store(store).map_err(|error| chain(&error))
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
            EtcdDisk::KIND,
            ComponentCertificate::KIND,
            ServiceStatus::KIND,
            VolumeStatus::KIND,
        ]
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[EtcdMembership::KIND, EtcdStatus::KIND, EtcdMemberStatus::KIND]
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Action, ControllerError> {
        let Some(node) = control_plane(store) else {
            store.remove::<EtcdMembership>(NAME, NODE)?;
            store.remove::<EtcdStatus>(NAME, NODE)?;
            store.replace::<EtcdMemberStatus>(NAME, Vec::new())?;
            return Ok(Action::WaitForChange);
        };
        self.places.begin_replacing()?;
        let known: Option<EtcdMembership> = store.get(NODE);
        let found = match known.filter(|known| known.start != EtcdStart::NotYet) {
            Some(known) => {
                self.has_begun(store)?;
                self.keep(store, &node, known.start).await?
            }
            None => self.arrive(store, &node).await?,
        };
        self.tell(found.waits_for.as_ref());
        let (start, waits_for) = (found.start, found.waits_for);
        if start == EtcdStart::NotYet {
            store.remove::<EtcdStatus>(NAME, NODE)?;
            store.replace::<EtcdMemberStatus>(NAME, Vec::new())?;
        }
        store.put(NAME, NODE, EtcdMembership { start, waits_for })?;
        Ok(found.again)
    }

    fn wake(&self) -> Option<Arc<Notify>> {
        Some(self.bell.clone())
    }
}
