//! Which pods are evicted.

use std::fmt;

use k8s_openapi::api::core::v1::Pod;

/// The annotation of a pod that only mirrors one of the node's own files.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a pod is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodId {
    pub namespace: String,
    pub name: String,
    /// Tells it from another one of the same name.
    pub uid: String,
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is to be done with the pods of a node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Those to evict.
    pub evict: Vec<PodId>,
    /// Those that are ending already: they are waited for.
    pub going: Vec<PodId>,
}

/// Decides. Every other pod stays.
pub(super) fn choose(pods: &[Pod]) -> Choice {
    let mut choice = Choice::default();
    for pod in pods.iter().filter(|pod| !stays(pod)) {
        let id = PodId {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
        };
        match pod.metadata.deletion_timestamp {
            Some(_) => choice.going.push(id),
            None => choice.evict.push(id),
        }
    }
    choice
}

/// Returns whether a pod stays: it has ended, or nobody would start it on another node.
fn stays(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return true;
    }
    let annotations = pod.metadata.annotations.as_ref();
    if annotations.is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        return true;
    }
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    // To evict a pod without a controller is to delete it for good: it starts again after the reboot.
    controller.is_none_or(|owner| owner.kind == "DaemonSet" && owner.api_version.starts_with("apps/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    prop_compose! {
        fn pod()(
            name in "[a-z]{1,6}",
            phase in prop_oneof![Just("Pending"), Just("Running"), Just("Succeeded"), Just("Failed"), Just("Unknown")],
            owner in prop_oneof![
                Just(None),
                Just(Some(("apps/v1", "DaemonSet"))),
                Just(Some(("apps/v1", "ReplicaSet"))),
                Just(Some(("apps/v1", "StatefulSet"))),
                Just(Some(("batch/v1", "Job"))),
                Just(Some(("example.com/v1", "DaemonSet"))),
            ],
            controls: bool,
            mirror: bool,
            ending: bool,
        ) -> Pod {
            let owners: Vec<_> = owner
                .map(|(api, kind)| json!({ "apiVersion": api, "kind": kind, "name": "x", "uid": "u", "controller": controls }))
                .into_iter()
                .collect();
            let mut pod: Pod = serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": "default", "uid": name, "ownerReferences": owners },
                "status": { "phase": phase },
            }))
            .unwrap();
            if mirror {
                pod.metadata.annotations.get_or_insert_default().insert(MIRROR.to_owned(), "x".to_owned());
            }
            if ending {
                pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
            }
            pod
        }
    }

    proptest! {
        /// Every pod is either left alone, evicted, or waited for; and what is evicted has a controller that starts it elsewhere.
        #[test]
        fn only_what_starts_elsewhere_is_evicted(pods in proptest::collection::vec(pod(), 0..12)) {
            let choice = choose(&pods);
            for pod in &pods {
                let name = pod.metadata.name.clone().unwrap();
                let has = |list: &[PodId]| list.iter().filter(|id| id.name == name).count();
                let same = pods.iter().filter(|other| other.metadata.name == pod.metadata.name).count();
                prop_assert!(has(&choice.evict) + has(&choice.going) <= same);
            }
            let running = |pod: &&Pod| !matches!(pod.status.as_ref().unwrap().phase.as_deref(), Some("Succeeded" | "Failed"));
            let controller = |pod: &Pod| {
                let owner = pod.metadata.owner_references.as_ref().unwrap().first().cloned()?;
                (owner.controller == Some(true)).then_some((owner.api_version, owner.kind))
            };
            let elsewhere = |pod: &&Pod| {
                controller(pod).is_some_and(|of| of != ("apps/v1".to_owned(), "DaemonSet".to_owned()))
                    && pod.metadata.annotations.is_none()
            };
            let expected: Vec<&Pod> = pods.iter().filter(running).filter(elsewhere).collect();
            let ending = expected.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()).count();
            prop_assert_eq!(choice.going.len(), ending);
            prop_assert_eq!(choice.evict.len(), expected.len() - ending);
        }
    }
}
