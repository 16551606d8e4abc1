//! The components of a member.

use kubernetes::control_plane::Member as EtcdMember;
pub use kubernetes::control_plane::Membership;
use kubernetes::tuning::Tuning;
use kubernetes::{Component, ControlPlane, Error};
use state::kinds::EtcdPeer;

use crate::member::Member;

/// Returns everything that a member runs, in the order in which it starts. Pure.
///
/// # Errors
///
/// What people gave that this version does not take.
pub fn components(member: &Member, membership: Membership, tuning: Tuning) -> Result<Vec<Component>, Error> {
    let plane = member.wanted.control_plane.as_ref().zip(member.etcd);
    let plane = plane.map(|(keys, (etcd, _))| ControlPlane {
        etcd,
        membership,
        cluster_id: keys.cluster_id.clone(),
        names: keys.names.clone(),
        encryption_key: keys.encryption_key.clone(),
        tuning,
    });
    kubernetes::plan(
        member.release,
        &member.wanted.cluster,
        &member.wanted.node,
        plane.as_ref(),
    )
}

/// Returns the members of etcd that a node joins. Those whose names nobody could have are left out.
pub(crate) fn joins(peers: &[EtcdPeer]) -> Membership {
    let member = |peer: &EtcdPeer| {
        Some(EtcdMember {
            name: peer.name.parse().ok()?,
            address: peer.address,
        })
    };
    Membership::Joins(peers.iter().filter_map(member).collect())
}
