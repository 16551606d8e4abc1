//! Brings a control plane's etcd to the others, and keeps it there.
//!
//! | part | what it is |
//! |---|---|
//! | [`Places`], `wal` | what is on the disk: etcd's data, whose it is, and the request to bootstrap |
//! | `decide` | how etcd is to start, from what is on the disk; pure |
//! | [`EtcdMembershipController`] | the owner of `EtcdMembership` |
//! | [`EtcdHandle`] | answers the API |
//!
//! It never starts etcd: the crate `cluster` does, by the kind `EtcdMembership`.

mod controller;
mod decide;
mod handle;
mod places;
mod wal;

#[cfg(test)]
mod tests;

pub use controller::EtcdMembershipController;
pub use handle::EtcdHandle;
pub use places::Places;
