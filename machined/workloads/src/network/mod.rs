//! The network of workloads on the bridge: a bridge of the node's own, an address for each workload, and the ports of the node
//! at which they are reached.
//!
//! [`plan`] hands out addresses and finds collisions, [`rules`] makes the rules of the packet filter, and [`hosts`] the names;
//! none of them does anything. [`bridge`] makes the bridge, and [`controller`] keeps all of that. [`join`] is the part of the
//! program of each workload: it makes the namespace that its container runs in. Nothing here is kept on disk, and what belongs
//! to one container goes with it.

pub mod bridge;
pub mod controller;
pub mod hosts;
pub mod join;
mod netlink;
pub mod plan;
pub mod rules;

/// The bridge. No network of pods has one of this name.
pub const BRIDGE: &str = "workloads";
/// How a workload finds its interface.
const INTERFACE: &str = "eth0";
