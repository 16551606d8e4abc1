//! A control plane of real programs, for tests: started as the crate `kubernetes` says, with certificates of its own.
//!
//! `KUBERNETES_PROGRAMS` names a folder or a `.tar.zst` with kube-apiserver, kube-controller-manager, kube-scheduler and, if
//! there is one, kubectl; etcd is taken from there or from the PATH. Needs root, for a network of its own. [`Programs::find`]
//! says why a test is skipped.
//!
//! ```text
//! use control_plane_testkit::{Programs, run};
//!
//! let Some(programs) = Programs::find() else { return };
//! run(&programs, &[kubernetes::Kind::ControllerManager], |plane| {
//!     println!("{} answers", plane.api());
//! });
//! ```

// It is for tests.
#![allow(clippy::unwrap_used)]

mod certificates;
mod http;
mod programs;
mod running;
pub mod sample;

pub use certificates::{Certificates, Pair};
pub use http::{Answer, get};
pub use programs::{Programs, Running, enter_network};
pub use running::{ADDRESS, RunningPlane, run, run_changed};
