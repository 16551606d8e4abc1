//! The interface of the part that brings a control plane's etcd to the others.

use std::pin::Pin;

use api::v1alpha1::{
    EtcdAlarm, EtcdMember, EtcdMembersResponse, EtcdRecovered, EtcdSnapshotsResponse, EtcdStatusResponse,
};
use async_trait::async_trait;
use futures::Stream;

use super::{BackendError, PushedBundle};

/// Pieces of a snapshot of etcd, in order.
pub type SnapshotPieces = Pin<Box<dyn Stream<Item = Result<Vec<u8>, BackendError>> + Send>>;

/// Where a snapshot to recover from is.
pub enum SnapshotSource {
    /// The client has it, and sends what is requested.
    Pushed(Box<dyn PushedBundle>),
    /// The node keeps it under this name.
    Kept(String),
}

/// The etcd of a control plane.
#[async_trait]
pub trait Etcd: Send + Sync {
    /// Begins a new cluster on this node. Returns once the request is on the disk: no power cut forgets it.
    async fn bootstrap(&self) -> Result<(), BackendError>;
    /// Recovers the cluster on this node, with the data of a snapshot; `replace` puts those aside that its etcd has. Returns
    /// once the snapshot is restored and the request is on the disk. To be run to its end: whoever stops waiting stops a
    /// half-done restore.
    async fn recover(&self, snapshot: SnapshotSource, replace: bool) -> Result<EtcdRecovered, BackendError>;
    /// Lists the members, and which of them answer.
    async fn members(&self) -> Result<EtcdMembersResponse, BackendError>;
    /// Returns the state of the node's own member.
    async fn status(&self) -> Result<EtcdStatusResponse, BackendError>;
    /// Lists the snapshots that are kept.
    async fn snapshots(&self) -> Result<EtcdSnapshotsResponse, BackendError>;
    /// Begins a snapshot, or to read the kept one of that name.
    async fn snapshot(&self, kept: Option<&str>) -> Result<SnapshotPieces, BackendError>;
    /// Removes another member, by the name of its node or its ID in hex.
    async fn remove_member(&self, member: &str) -> Result<EtcdMember, BackendError>;
    /// Leaves etcd until the machine is started again.
    async fn leave(&self) -> Result<(), BackendError>;
    /// Makes another member the leader, and returns its name; none if this one is not the leader.
    async fn forfeit_leadership(&self) -> Result<Option<String>, BackendError>;
    /// Gives back to the disk what is no longer needed.
    async fn defragment(&self) -> Result<(), BackendError>;
    /// Lists the alarms.
    async fn alarms(&self) -> Result<Vec<EtcdAlarm>, BackendError>;
    /// Ends all alarms, and returns them.
    async fn disarm(&self) -> Result<Vec<EtcdAlarm>, BackendError>;
}
