//! Brings a control plane's etcd to the others, and keeps it there.
//!
//! | part | what it is |
//! |---|---|
//! | [`Places`], `wal` | what is on the disk: etcd's data, whose it is, and the request to bootstrap |
//! | `decide` | how etcd is to start, from what is on the disk; pure |
//! | `peers`, `survey` | where other members may be, and what they say |
//! | `verdicts` | what is wrong with each member; pure |
//! | `join` | how a control plane without data comes to the others; pure |
//! | [`EtcdMembershipController`], `joining`, `keeping` | the owner of `EtcdMembership`, `EtcdStatus` and `EtcdMemberStatus`, which does all that |
//! | [`EtcdDiskController`] | the owner of `EtcdDisk`: how fast the disk is |
//! | `snapshot`, `restore`, `recovery` | checks a snapshot, restores it with etcd's own tool, and the steps of that on the disk |
//! | [`EtcdSnapshotsController`], `kept` | the owner of `EtcdSnapshotStatus`, which takes snapshots on a schedule and keeps some |
//! | [`EtcdHandle`], `answers`, `keeper`, `recover` | answers the API |
//!
//! It never starts etcd: the crate `cluster` does, by the kind `EtcdMembership`.

mod answers;
mod controller;
mod decide;
mod disk;
mod handle;
mod join;
mod joining;
mod keeper;
mod keeping;
mod kept;
mod peers;
mod places;
mod recover;
mod recovery;
mod restore;
mod schedule;
mod snapshot;
mod survey;
mod verdicts;
mod wal;

#[cfg(test)]
mod tests;

pub use controller::EtcdMembershipController;
pub use disk::EtcdDiskController;
pub use handle::EtcdHandle;
pub use peers::Ports;
pub use places::{Data, Note, Places};
pub use restore::{Restorer, TOOL};
pub use schedule::{EtcdSnapshotsController, SETTLING};
