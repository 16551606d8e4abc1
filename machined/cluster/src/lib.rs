//! Runs a node's part of a Kubernetes cluster.
//!
//! In reading order: [`member`] decides what the node is; [`certificates`] signs what a control plane's components show,
//! with the authorities of [`credentials`]; [`services`] writes the service of each component by [`spec()`], once all that
//! it needs is there. Which components there are, and how they are started, is the crate `kubernetes`'s to say; how etcd
//! starts is decided by the owner of `EtcdMembership`. No component is started here: the services do that.

pub mod certificates;
pub mod credentials;
pub mod member;
pub mod plan;
pub mod services;

mod limits;
mod spec;

use std::sync::Arc;

use pki::NodeClock;
use release_file::KubernetesPrograms;
use state::Runtime;
use sys::clock::LinuxClock;

pub use credentials::{Authorities, Credentials};
pub use limits::memory;
pub use spec::{Missing, spec};

/// Adds the controllers of a node with these programs in its image.
pub fn add_controllers(runtime: &mut Runtime, programs: Option<&KubernetesPrograms>, clock: Arc<NodeClock>) {
    let programs = || programs.cloned();
    runtime
        .add(member::MemberController::new(programs()))
        .add(certificates::CertificateController::new(
            programs(),
            clock,
            Box::new(LinuxClock),
        ))
        .add(services::ServiceController::new(
            programs(),
            "/proc/meminfo".into(),
            "/sys/fs/cgroup".into(),
        ));
}
