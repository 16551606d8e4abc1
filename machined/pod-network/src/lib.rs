//! Connects the pods of a cluster's nodes: a bridge on each node, and routes between the nodes.
//!
//! [`ClusterNodes`] watches the nodes and the API servers that the cluster knows, publishes them as `ClusterNode` and `ApiServers`,
//! and remembers them on STATE, so that everything below goes on while the API is away. [`PodNetwork`] makes of them the config of
//! the CNI plugins (`conflist`), the routes to the pods of other nodes (`routes`), which it contributes to the network, and the rules
//! by which pods reach the world (`masquerade`). [`Mesh`] keeps an encrypted interface to other nodes, where the machine config has
//! one, which routes may lead into. Addresses of pods are handed out by the plugins, and services are kube-proxy's.

mod conflist;
mod controller;
mod masquerade;
mod mesh;
mod nodes;
mod plugins;
mod remembered;
mod routes;
mod watch;

#[cfg(test)]
mod namespace_tests;

pub use controller::{Files, PodNetwork};
pub use mesh::{Mesh, Tunnel, TunnelError, Update, WireGuard};
pub use nodes::ClusterNodes;
