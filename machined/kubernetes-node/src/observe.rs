//! Whether the node is Ready.

use k8s_openapi::api::core::v1::Node;

/// The condition by which kubelet says that it can run pods.
const READY: &str = "Ready";

/// Returns why a node is not Ready, one sentence; nothing if it is.
///
/// What kubelet said before this boot does not count: the API server keeps it for a while. `boot_id` is that of the running
/// kernel, as far as it is known.
pub(crate) fn problem(node: &Node, boot_id: Option<&str>) -> Option<String> {
    let status = node.status.as_ref();
    let told = status
        .and_then(|status| status.node_info.as_ref())
        .map(|info| info.boot_id.as_str());
    if told.is_none() || boot_id.is_some_and(|boot_id| told != Some(boot_id)) {
        return Some("kubelet has not reported to the API server since the node started".to_owned());
    }
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == READY) else {
        return Some("kubelet has not said yet whether the node is Ready".to_owned());
    };
    if ready.status == "True" {
        return None;
    }
    let said = ready.message.as_deref().or(ready.reason.as_deref());
    Some(format!(
        "not Ready: {}",
        said.unwrap_or("kubelet does not say why")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(boot_id: &str, status: &str, message: &str) -> Node {
        let json = serde_json::json!({
            "metadata": { "name": "node1" },
            "status": {
                "nodeInfo": {
                    "architecture": "", "bootID": boot_id, "containerRuntimeVersion": "", "kernelVersion": "",
                    "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
                    "systemUUID": "",
                },
                "conditions": [
                    { "type": "MemoryPressure", "status": "False" },
                    { "type": "Ready", "status": status, "reason": "KubeletReady", "message": message },
                ],
            },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn ready_is_what_kubelet_said_since_the_node_started() {
        let wrong = "container runtime network not ready: cni plugin not initialized";
        for (node, problem_text) in [
            (node("a", "True", ""), None),
            (node("b", "True", ""), Some("kubelet has not reported")),
            (
                node("a", "False", wrong),
                Some("not Ready: container runtime network not ready: cni"),
            ),
            (
                node("a", "Unknown", "Kubelet stopped posting node status."),
                Some("not Ready: Kubelet stopped"),
            ),
            (Node::default(), Some("kubelet has not reported")),
        ] {
            let found = problem(&node, Some("a"));
            match problem_text {
                None => assert_eq!(found, None),
                Some(text) => assert!(
                    found.as_deref().is_some_and(|found| found.starts_with(text)),
                    "{found:?}"
                ),
            }
        }
        assert_eq!(problem(&node("b", "True", ""), None), None);
        assert!(problem(&Node::default(), None).is_some());
    }
}
