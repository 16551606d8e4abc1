//! Answers the API.

use std::sync::Arc;
use std::time::Duration;

use backend::BackendError;
use machine_config::MachineConfig;
use machine_config::v1alpha1::Role;
use node::Node;
use node::events::Events;
use state::kinds::{ClusterMember, ClusterStatus, NODE, Volume, VolumeState, VolumeStatus};
use state::{Store, chain};
use tokio::sync::{Mutex, Notify};

use crate::controller::{EtcdMembershipController, cluster_id, control_plane, credentials};
use crate::decide;
use crate::disk::EtcdDiskController;
use crate::peers::{Ports, candidates};
use crate::places::{Data, Places};
use crate::restore::Restorer;
use crate::schedule::EtcdSnapshotsController;
use crate::survey::{Seen, Survey, survey};

/// Answers the API about the node's etcd. Clones are the same.
#[derive(Clone)]
pub struct EtcdHandle {
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) places: Places,
    pub(crate) ports: Ports,
    pub(crate) bell: Arc<Notify>,
    pub(crate) restorer: Restorer,
    /// Two requests to bootstrap or to recover take turns.
    pub(crate) turn: Arc<Mutex<()>>,
}

impl EtcdHandle {
    /// Makes a handle on a node's etcd.
    pub fn new(node: &Node, places: Places, ports: Ports, restorer: Restorer) -> Self {
        Self {
            ports,
            restorer,
            store: node.store.clone(),
            events: node.events.clone(),
            places,
            bell: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Returns the controller that does what the handle is asked for.
    pub fn controller(&self) -> EtcdMembershipController {
        EtcdMembershipController::new(
            self.places.clone(),
            self.ports,
            self.events.clone(),
            self.bell.clone(),
            self.turn.clone(),
        )
    }

    /// Returns the controller that measures the disk before etcd starts.
    pub fn disk_controller(&self) -> EtcdDiskController {
        EtcdDiskController::new(self.places.clone())
    }

    /// Returns the controller that takes snapshots, once etcd is healthy for so long ([`SETTLING`](crate::SETTLING)).
    pub fn snapshots_controller(&self, settling: Duration) -> EtcdSnapshotsController {
        EtcdSnapshotsController::new(self.places.clone(), self.ports, self.events.clone(), settling)
    }

    /// Returns the identity of the cluster that this control plane belongs to.
    pub(crate) fn cluster(&self) -> Result<String, BackendError> {
        let config: Option<MachineConfig> = self.store.get(NODE);
        let config = config
            .ok_or_else(|| refused("the node has no machine config; apply one with `bedplate apply`"))?;
        match config.machine.role {
            Role::ControlPlane => {}
            Role::Worker => {
                return Err(refused(
                    "this node is a worker, which has no etcd; call a control plane",
                ));
            }
            Role::Standalone => {
                return Err(refused(
                    "this node belongs to no cluster; generate the configs of one with `bedplate gen config`",
                ));
            }
        }
        let member: Option<ClusterMember> = self.store.get(NODE);
        if member.is_none() {
            let status: ClusterStatus = self.store.get(NODE).unwrap_or_default();
            return Err(match status.waits_for {
                Some(why) => BackendError::Unavailable(format!(
                    "the node is not ready to be a control plane yet: {why}"
                )),
                None => refused(
                    "the node cannot be a control plane: its machine config has no cluster.ca, so that it runs no Kubernetes; generate configs with `bedplate gen config`",
                ),
            });
        }
        Ok(cluster_id(&config))
    }

    /// Refuses where this disk cannot take any data of etcd.
    pub(crate) fn check_volume(&self) -> Result<(), BackendError> {
        let volume: Option<VolumeStatus> = self.store.get(Volume::Data.partition());
        match volume.map(|volume| volume.state) {
            Some(VolumeState::Ready { .. }) => {}
            Some(VolumeState::Volatile { reason }) => return Err(refused(decide::volatile(&reason))),
            Some(VolumeState::Failed { error }) => {
                return Err(refused(format!("DATA cannot be used: {error}")));
            }
            Some(VolumeState::Preparing) | None => {
                return Err(BackendError::Unavailable(
                    "DATA is being prepared; try again in a moment".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Returns what etcd's folder holds.
    pub(crate) fn data(&self) -> Result<Data, BackendError> {
        let data = self.places.data();
        data.map_err(|error| BackendError::Internal(chain(&error)))
    }

    /// Refuses where this disk cannot take a new cluster's data. `way_out` says what to do where it has data.
    pub(crate) fn check_disk(&self, way_out: &str) -> Result<(), BackendError> {
        self.check_volume()?;
        if self.data()? != Data::Empty {
            return Err(refused(format!(
                "etcd has data on this node, so the cluster was bootstrapped before; {way_out}"
            )));
        }
        Ok(())
    }
}

impl EtcdHandle {
    /// Asks whoever may be a member already.
    pub(crate) async fn ask_others(&self) -> Result<Survey, BackendError> {
        let (Some(node), Ok(credentials)) = (control_plane(&self.store), credentials(&self.store)) else {
            return Err(BackendError::Unavailable(
                "the node's certificate for etcd is not issued yet; try again in a moment".to_owned(),
            ));
        };
        let note = self.places.note().unwrap_or_default();
        let others = candidates(&self.store, &node.member, &note.others).await;
        Ok(survey(&credentials, self.ports, &others).await)
    }

    /// Refuses to begin a cluster that has members already.
    async fn check_others(&self) -> Result<(), BackendError> {
        let (Survey::Members { members, .. } | Survey::NoQuorum(members)) = self.ask_others().await? else {
            return Ok(());
        };
        let names: Vec<String> = members.iter().map(Seen::who).collect();
        Err(refused(format!(
            "the cluster was bootstrapped before, and has members: {}; this node joins them by itself",
            names.join(", ")
        )))
    }
}

pub(crate) fn refused(why: impl Into<String>) -> BackendError {
    BackendError::Refused(why.into())
}

impl EtcdHandle {
    /// Refuses while the node does what it was asked for before.
    pub(crate) fn check_requests(&self, cluster: &str) -> Result<(), BackendError> {
        let recovery = self.places.recovery().map(|recovery| recovery.cluster);
        let what = match () {
            () if self.places.bootstrap().as_deref() == Some(cluster) => "bootstrap the cluster",
            () if recovery.as_deref() == Some(cluster) => "recover the cluster from a snapshot",
            () => return Ok(()),
        };
        Err(refused(format!(
            "this node was asked to {what} before, and is doing it; see `bedplate services` and `bedplate logs etcd`"
        )))
    }

    /// Requests a bootstrap of this node, or says why it cannot be.
    pub(crate) async fn request_bootstrap(&self) -> Result<(), BackendError> {
        let _turn = self.turn.lock().await;
        let cluster = self.cluster()?;
        self.check_requests(&cluster)?;
        self.check_disk("other control planes join by themselves")?;
        self.check_others().await?;
        let requested = self.places.request_bootstrap(&cluster);
        requested.map_err(|error| BackendError::Internal(chain(&error)))?;
        self.events
            .info("etcd", "a bootstrap of the cluster was requested");
        self.bell.notify_one();
        Ok(())
    }
}
