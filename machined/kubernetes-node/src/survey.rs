//! All nodes of the cluster, for a control plane to show.

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use kubernetes_client::limited;
use state::kinds::ClusterNodeStatus;

use crate::cordon::is_cordoned;
use crate::marks::CONTROL_PLANE;
use crate::observe::problem;

/// How many nodes are asked for at once: each is some ten kilobytes.
const PAGE: u32 = 20;

/// Lists all nodes, page by page.
pub(crate) async fn survey(client: Client) -> kube::Result<Vec<(String, ClusterNodeStatus)>> {
    let nodes: Api<Node> = Api::all(client);
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = limited(nodes.list(&page)).await?;
        found.extend(list.items.iter().map(status));
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(found),
        }
    }
}

fn status(node: &Node) -> (String, ClusterNodeStatus) {
    let labels = node.metadata.labels.as_ref();
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let status = ClusterNodeStatus {
        control_plane: labels.is_some_and(|labels| labels.contains_key(CONTROL_PLANE)),
        problem: problem(node, None),
        cordoned: is_cordoned(node),
        version: info.map(|info| info.kubelet_version.clone()).unwrap_or_default(),
    };
    (node.metadata.name.clone().unwrap_or_default(), status)
}
