//! Keeping new pods away from the node before it reboots, and letting them come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kubernetes_client::limited;
use serde_json::{Value, json};
use state::kinds::TrialStatus;

/// The annotation of a node that was cordoned by itself.
const CORDONED: &str = "bedplate.dev/cordoned";

/// The switch by which a drain keeps the node cordoned until it reboots. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cordons {
    draining: Arc<AtomicBool>,
}

impl Cordons {
    /// Says that the node is drained, until it is rebooted.
    pub(crate) fn begin(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn are_under_way(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Decides whether the node is to be uncordoned: it cordoned itself, is back, and the system that runs is the one that stays.
    pub(crate) fn are_over(&self, node: &Node, ready: bool, trial: Option<&TrialStatus>) -> bool {
        let settled = match trial {
            None | Some(TrialStatus::None | TrialStatus::Committed) => true,
            Some(TrialStatus::Waiting { .. } | TrialStatus::Holding { .. } | TrialStatus::GivenUp) => false,
        };
        by_itself(node) && ready && settled && !self.are_under_way()
    }
}

/// Returns whether no new pods come to a node.
pub(crate) fn is_cordoned(node: &Node) -> bool {
    node.spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or_default()
}

fn by_itself(node: &Node) -> bool {
    node.metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(CORDONED))
}

/// Returns the patch that cordons a node; none if somebody has already: then it stays so after the reboot.
fn cordoning(node: &Node) -> Option<Value> {
    let patch = json!({
        "metadata": {
            "annotations": { (CORDONED): "before a reboot" },
            "resourceVersion": node.metadata.resource_version,
        },
        "spec": { "unschedulable": true },
    });
    (!is_cordoned(node)).then_some(patch)
}

/// Keeps new pods away.
pub(crate) async fn cordon(api: &Api<Node>, name: &str) -> kube::Result<()> {
    let node = limited(api.get(name)).await?;
    if let Some(patch) = cordoning(&node) {
        limited(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await?;
    }
    Ok(())
}

/// Lets new pods come again to a node that cordoned itself.
pub(crate) async fn uncordon(api: &Api<Node>, node: &Node, name: &str) -> kube::Result<()> {
    let patch = json!({
        "metadata": {
            "annotations": { (CORDONED): null },
            "resourceVersion": node.metadata.resource_version,
        },
        "spec": { "unschedulable": null },
    });
    limited(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cordoned: bool, by_itself: bool) -> Node {
        let mut node = Node::default();
        node.spec.get_or_insert_default().unschedulable = Some(cordoned);
        if by_itself {
            let annotations = node.metadata.annotations.get_or_insert_default();
            annotations.insert(CORDONED.to_owned(), String::new());
        }
        node
    }

    #[test]
    fn a_node_uncordons_only_what_it_cordoned_and_only_once_its_system_stays() {
        let cordons = Cordons::default();
        let over = |node: &Node, ready, trial: TrialStatus| cordons.are_over(node, ready, Some(&trial));
        let own = node(true, true);
        assert!(over(&own, true, TrialStatus::Committed) && over(&own, true, TrialStatus::None));
        assert!(cordons.are_over(&own, true, None));
        assert!(!over(&own, false, TrialStatus::Committed));
        assert!(!over(&own, true, TrialStatus::Holding { until_ms: 1 }));
        assert!(!over(&own, true, TrialStatus::Waiting { deadline_ms: 1 }));
        assert!(!over(&own, true, TrialStatus::GivenUp));
        assert!(
            !over(&node(true, false), true, TrialStatus::None),
            "a person cordoned it"
        );
        cordons.clone().begin();
        assert!(!over(&own, true, TrialStatus::None), "it is being drained");
    }

    #[test]
    fn a_node_that_a_person_cordoned_gets_no_annotation() {
        assert!(cordoning(&node(true, false)).is_none());
        assert!(cordoning(&node(false, false)).is_some());
    }
}
