//! Which components a node runs, and how.

use crate::control_plane::ControlPlane;
use crate::{
    Cluster, Component, Error, Node, Release, apiserver, controller_manager, etcd, kubelet, proxy, scheduler,
};

/// Returns everything that a node runs, in the order in which it starts: on a control plane all, on a worker the last two. There
/// is no kube-proxy where the node runs none.
///
/// # Errors
///
/// What people gave that this version does not take.
pub fn plan(
    release: &'static Release,
    cluster: &Cluster,
    node: &Node,
    plane: Option<&ControlPlane>,
) -> Result<Vec<Component>, Error> {
    let mut components = Vec::new();
    if let Some(plane) = plane {
        components.push(etcd::component(node, plane)?);
        components.push(apiserver::component(release, cluster, node, plane)?);
        components.push(controller_manager::component(release, cluster, node, plane)?);
        components.push(scheduler::component(release, cluster, node, plane)?);
    }
    components.push(kubelet::component(release, cluster, node)?);
    if node.runs_proxy {
        components.push(proxy::component(release, cluster, node)?);
    }
    Ok(components)
}
