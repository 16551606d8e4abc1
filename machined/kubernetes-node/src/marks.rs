//! Labels and taints of the node, as the machine config has them.
//!
//! Others may set further ones. Those that are ours are named in two annotations, so that they go when the config has them no more.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint};
use machine_config::MachineConfig;
use machine_config::value::LabelKey;
use serde_json::{Map, Value, json};

/// The annotations with the keys of labels, and with taints as `KEY:EFFECT`, that are ours.
const LABELS: &str = "bedplate.dev/labels";
const TAINTS: &str = "bedplate.dev/taints";
/// The annotation with the node's public key in the mesh between nodes.
const MESH_KEY: &str = "bedplate.dev/mesh-key";
/// The label of a control plane, by which people and controllers know it.
pub(crate) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// What the taint of a control plane does.
const NO_SCHEDULE: &str = "NoSchedule";

/// What a node is to have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints; none where they are not ours to change: a kubelet cannot.
    pub taints: Option<Vec<Taint>>,
    /// Its public key in the mesh between nodes.
    pub mesh_key: Option<String>,
}

impl Wanted {
    /// Decides for a worker: what its kubelet may set.
    pub(crate) fn of_worker(config: &MachineConfig) -> Self {
        let labels = config
            .machine
            .node_labels
            .iter()
            .filter(|(key, _)| !key.is_restricted());
        Self {
            labels: labels
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            taints: None,
            mesh_key: None,
        }
    }

    /// Decides for a control plane. `taint` is the key of its taint; it has it if it is not to run pods.
    pub(crate) fn of_control_plane(config: &MachineConfig, taint: &str, has_workers: bool) -> Self {
        let labels = config.machine.node_labels.iter();
        let mut labels: BTreeMap<String, String> = labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        labels.entry(CONTROL_PLANE.to_owned()).or_default();
        let taints = config.machine.node_taints.iter();
        let mut taints: Vec<Taint> = taints
            .map(|(key, taint)| Taint {
                effect: taint.effect.as_str().to_owned(),
                key: key.to_string(),
                value: Some(taint.value.clone()).filter(|value| !value.is_empty()),
                ..Taint::default()
            })
            .collect();
        let runs_pods = config
            .cluster
            .allow_scheduling_on_control_planes
            .unwrap_or(!has_workers);
        if !runs_pods && !taints.iter().any(|other| other.key == taint) {
            taints.push(Taint {
                effect: NO_SCHEDULE.to_owned(),
                key: taint.to_owned(),
                ..Taint::default()
            });
        }
        Self {
            labels,
            taints: Some(taints),
            mesh_key: None,
        }
    }
}

/// Returns the merge patch that gives a node what it is to have; none if it has it.
pub(crate) fn patch(node: &Node, wanted: &Wanted) -> Option<Value> {
    let annotations = node.metadata.annotations.clone().unwrap_or_default();
    let ours = |name: &str| -> Vec<String> {
        let list = annotations.get(name).map(String::as_str).unwrap_or_default();
        list.split(',')
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut metadata = Map::new();
    let mut changed = Map::new();
    let mut note = |name: &str, list: Vec<String>| {
        let text = list.join(",");
        if annotations.get(name).map(String::as_str).unwrap_or_default() != text {
            changed.insert(name.to_owned(), json!(text));
        }
    };
    let labels = label_changes(node, wanted, &ours(LABELS));
    note(LABELS, wanted.labels.keys().cloned().collect());
    let mut spec = Map::new();
    if let Some(taints) = &wanted.taints {
        let before = node
            .spec
            .as_ref()
            .and_then(|spec| spec.taints.clone())
            .unwrap_or_default();
        let after = merged_taints(&before, taints, &ours(TAINTS));
        if after != before {
            spec.insert("taints".to_owned(), json!(after));
        }
        note(TAINTS, taints.iter().map(called).collect());
    }
    if annotations.get(MESH_KEY) != wanted.mesh_key.as_ref() {
        changed.insert(MESH_KEY.to_owned(), json!(wanted.mesh_key));
    }
    if labels.is_empty() && changed.is_empty() && spec.is_empty() {
        return None;
    }
    metadata.insert("labels".to_owned(), Value::Object(labels));
    metadata.insert("annotations".to_owned(), Value::Object(changed));
    // A list of taints is replaced as a whole: what somebody else changed meanwhile must not be lost.
    metadata.insert(
        "resourceVersion".to_owned(),
        json!(node.metadata.resource_version),
    );
    let mut patch = Map::new();
    patch.insert("metadata".to_owned(), Value::Object(metadata));
    if !spec.is_empty() {
        patch.insert("spec".to_owned(), Value::Object(spec));
    }
    Some(Value::Object(patch))
}

/// Lists the labels to set, and with null those to remove.
fn label_changes(node: &Node, wanted: &Wanted, ours: &[String]) -> Map<String, Value> {
    let has = node.metadata.labels.clone().unwrap_or_default();
    let mut changes = Map::new();
    for (key, value) in &wanted.labels {
        if has.get(key) != Some(value) {
            changes.insert(key.clone(), json!(value));
        }
    }
    for key in ours
        .iter()
        .filter(|key| !wanted.labels.contains_key(*key) && has.contains_key(*key))
    {
        // Where taints are not ours to change, neither are labels that are kept for administrators.
        let restricted = key.parse::<LabelKey>().is_ok_and(|key| key.is_restricted());
        if !restricted || wanted.taints.is_some() {
            changes.insert(key.clone(), Value::Null);
        }
    }
    changes
}

/// Keeps others' taints in their order, takes out those of ours that are wanted no more, and adds what is missing.
fn merged_taints(before: &[Taint], wanted: &[Taint], ours: &[String]) -> Vec<Taint> {
    let same = |one: &Taint, other: &Taint| one.key == other.key && one.effect == other.effect;
    let mut after: Vec<Taint> = Vec::new();
    for taint in before {
        match wanted.iter().find(|wanted| same(wanted, taint)) {
            Some(wanted) => after.push(Taint {
                value: wanted.value.clone(),
                ..taint.clone()
            }),
            None if ours.contains(&called(taint)) => {}
            None => after.push(taint.clone()),
        }
    }
    for taint in wanted {
        if !after.iter().any(|other| same(other, taint)) {
            after.push(taint.clone());
        }
    }
    after
}

fn called(taint: &Taint) -> String {
    format!("{}:{}", taint.key, taint.effect)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint {
            effect: effect.to_owned(),
            key: key.to_owned(),
            value: Some(value.to_owned()).filter(|value| !value.is_empty()),
            ..Taint::default()
        }
    }

    /// Applies a merge patch as an API server does.
    fn apply(node: &Node, patch: &Value) -> Node {
        fn merge(into: &mut Value, patch: &Value) {
            let Value::Object(patch) = patch else {
                *into = patch.clone();
                return;
            };
            if !into.is_object() {
                *into = json!({});
            }
            for (key, value) in patch {
                match (value, into.as_object_mut()) {
                    (Value::Null, Some(map)) => drop(map.remove(key)),
                    (value, _) => merge(&mut into[key], value),
                }
            }
        }
        let mut tree = serde_json::to_value(node).unwrap();
        merge(&mut tree, patch);
        serde_json::from_value(tree).unwrap()
    }

    #[test]
    fn a_control_plane_runs_pods_as_long_as_there_is_no_worker() {
        let key = "node-role.kubernetes.io/control-plane";
        let mut config = state::testkit::config();
        let tainted = |config: &MachineConfig, has_workers| {
            let wanted = Wanted::of_control_plane(config, key, has_workers);
            assert!(wanted.labels.contains_key(CONTROL_PLANE));
            wanted.taints.unwrap().iter().any(|taint| taint.key == key)
        };
        assert!(!tainted(&config, false) && tainted(&config, true));
        config.cluster.allow_scheduling_on_control_planes = Some(true);
        assert!(!tainted(&config, true));
        config.cluster.allow_scheduling_on_control_planes = Some(false);
        assert!(tainted(&config, false));
    }

    fn marks() -> impl Strategy<Value = (BTreeMap<String, String>, Vec<Taint>)> {
        let effect = prop_oneof![Just("NoSchedule"), Just("NoExecute")];
        let taints = proptest::collection::btree_map(("[a-d]", effect), "[x-z]?", 0..4);
        let taints = taints.prop_map(|map| {
            let taint = |((key, effect), value): ((String, &str), String)| taint(&key, &value, effect);
            map.into_iter().map(taint).collect()
        });
        (proptest::collection::btree_map("[a-d]", "[x-z]", 0..4), taints)
    }

    proptest! {
        /// Whatever a node has of others, and whatever was wanted before: it gets what is wanted, keeps what is others', and
        /// loses what was ours. A second look changes nothing.
        #[test]
        fn what_is_ours_follows_and_the_rest_stays(
            (labels, taints) in marks(), (first, first_taints) in marks(), (second, second_taints) in marks(),
            keys in any::<[Option<bool>; 2]>(),
        ) {
            let keys = keys.map(|key| key.map(|key| key.to_string()));
            let mut node = Node::default();
            node.metadata.labels = Some(labels.clone());
            node.spec.get_or_insert_default().taints = Some(taints.clone());
            for (labels, taints, key) in [(&first, &first_taints, &keys[0]), (&second, &second_taints, &keys[1])] {
                let wanted = Wanted { labels: labels.clone(), taints: Some(taints.clone()), mesh_key: key.clone() };
                if let Some(change) = patch(&node, &wanted) {
                    node = apply(&node, &change);
                }
                prop_assert_eq!(patch(&node, &wanted), None);
            }
            let annotations = node.metadata.annotations.unwrap_or_default();
            prop_assert_eq!(annotations.get(MESH_KEY), keys[1].as_ref());
            let has = node.metadata.labels.unwrap_or_default();
            for key in ["a", "b", "c", "d"] {
                let expected = match (second.get(key), first.contains_key(key)) {
                    (Some(value), _) => Some(value),
                    (None, true) => None,
                    (None, false) => labels.get(key),
                };
                prop_assert_eq!(has.get(key), expected, "{}", key);
            }
            let has = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            let find = |list: &[Taint], wanted: &Taint| list.iter().find(|taint| called(taint) == called(wanted)).cloned();
            for wanted in &second_taints {
                prop_assert_eq!(find(&has, wanted), Some(wanted.clone()));
            }
            for other in &taints {
                let ours = find(&first_taints, other).is_some() || find(&second_taints, other).is_some();
                prop_assert!(ours || find(&has, other) == Some(other.clone()));
            }
            for found in &has {
                prop_assert!(find(&second_taints, found).is_some() || find(&taints, found).is_some(), "{:?}", found);
            }
        }
    }

    #[test]
    fn a_worker_leaves_what_only_administrators_may_set() {
        let mut node = Node::default();
        let pairs = |list: &[(&str, &str)]| {
            let pairs = list
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Some(pairs.collect::<BTreeMap<String, String>>())
        };
        node.metadata.labels = pairs(&[("node-role.kubernetes.io/x", ""), ("a", "b")]);
        node.metadata.annotations = pairs(&[(LABELS, "node-role.kubernetes.io/x,a")]);
        let change = patch(&node, &Wanted::of_worker(&state::testkit::config())).unwrap();
        assert_eq!(change["metadata"]["labels"], json!({ "a": null }));
        assert!(change.get("spec").is_none());
    }
}
