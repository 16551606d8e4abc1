//! What only a control plane has.

use std::fmt;
use std::net::IpAddr;

use machine_config::value::Host;
use zeroize::Zeroizing;

use crate::tuning::Tuning;
use crate::{EtcdRelease, NodeName};

/// What only a control plane has.
#[derive(Clone)]
pub struct ControlPlane {
    /// The etcd that is there.
    pub etcd: &'static EtcdRelease,
    /// How its etcd comes to the others.
    pub membership: Membership,
    /// The identity of the cluster, so that etcd never joins another's.
    pub cluster_id: String,
    /// Further names and addresses for the API's certificate.
    pub names: Vec<Host>,
    /// The key by which secrets are encrypted in etcd.
    pub encryption_key: Zeroizing<[u8; 32]>,
    /// How patient it is.
    pub tuning: Tuning,
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane")
            .field("etcd", &self.etcd)
            .field("membership", &self.membership)
            .field("cluster_id", &self.cluster_id)
            .field("names", &self.names)
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

/// How a control plane's etcd comes to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// It is the first, and begins the cluster.
    First,
    /// It was added to these, or is one of them.
    Joins(Vec<Member>),
}

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its node's name.
    pub name: NodeName,
    /// Its node's address.
    pub address: IpAddr,
}
