//! Reads what people change in the components of Kubernetes.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::decode::Cursor;
use crate::v1alpha1::{
    AdmissionPlugin, ApiServer, ComponentSettings, Etcd, EtcdSnapshots, ExtraArgs, FeatureGates, Kubelet,
    Manifest, Role,
};
use crate::value::{Document, LabelKey, LabelValue, Period, TaintValue};

/// How often snapshots of etcd may be taken: a card wears out, and weeks are no protection.
const SHORTEST: Period = Period::seconds(10 * 60);
const LONGEST: Period = Period::seconds(168 * 3600);
/// The most snapshots that are kept.
const MOST: u32 = 100;
/// The kind of an audit policy.
const POLICY: &str = "Policy";

/// Reads a map whose names have a format, too.
pub(super) fn map_of<K: FromStr<Err: Display> + Ord, V>(
    cursor: Cursor<'_>,
    read: impl Fn(&K, &Cursor<'_>) -> Option<V>,
) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (name, value) in cursor.entries() {
        match name.parse::<K>() {
            Ok(key) => {
                if let Some(value) = read(&key, &value) {
                    map.insert(key, value);
                }
            }
            Err(error) => value.fault(format!("{name:?} is not {error}")),
        }
    }
    map
}

pub(super) fn labels(cursor: Cursor<'_>, role: Option<Role>) -> BTreeMap<LabelKey, LabelValue> {
    map_of(cursor, |key: &LabelKey, value| {
        if key.is_found_by_kubelet() {
            value.fault("kubelet sets this label to what it finds; remove it");
        } else if key.is_restricted() && role == Some(Role::Worker) {
            value.fault(format!(
                "Kubernetes does not let a worker give itself this label; remove it, and set it with `kubectl label node NAME {key}=…`"
            ));
        }
        let text = value.literal()?;
        text.parse()
            .inspect_err(|error| value.fault(format!("{text:?} is not {error}")))
            .ok()
    })
}

pub(super) fn taints(cursor: Cursor<'_>) -> BTreeMap<LabelKey, TaintValue> {
    map_of(cursor, |_: &LabelKey, value| value.parsed())
}

pub(super) fn feature_gates(cursor: Cursor<'_>) -> FeatureGates {
    map_of(cursor, |_, value| value.boolean())
}

fn extra_args(cursor: Cursor<'_>) -> ExtraArgs {
    map_of(cursor, |_, value| {
        let text = value.literal()?;
        if text.chars().any(char::is_control) {
            value.fault("the value of a flag is one line");
            return None;
        }
        Some(text.to_owned())
    })
}

pub(super) fn kubelet(cursor: Cursor<'_>) -> Option<Kubelet> {
    let mut o = cursor.object()?;
    let extra_args = o.field("extraArgs").map(extra_args).unwrap_or_default();
    let extra_config = o.field("extraConfig").and_then(|c| c.document());
    o.finish();
    Some(Kubelet {
        extra_args,
        extra_config,
    })
}

pub(super) fn component(cursor: Cursor<'_>) -> Option<ComponentSettings> {
    let mut o = cursor.object()?;
    let extra_args = o.field("extraArgs").map(extra_args).unwrap_or_default();
    o.finish();
    Some(ComponentSettings { extra_args })
}

pub(super) fn etcd(cursor: Cursor<'_>) -> Option<Etcd> {
    let mut o = cursor.object()?;
    let extra_args = o.field("extraArgs").map(extra_args).unwrap_or_default();
    let snapshots = o.field("snapshots").and_then(snapshots).unwrap_or_default();
    o.finish();
    Some(Etcd {
        extra_args,
        snapshots,
    })
}

fn snapshots(cursor: Cursor<'_>) -> Option<EtcdSnapshots> {
    let mut o = cursor.object()?;
    let usual = EtcdSnapshots::default();
    let interval = o.field("interval").map_or(Some(usual.interval), |c| {
        let interval = c.period()?;
        if !(SHORTEST..=LONGEST).contains(&interval) {
            c.fault(format!("must be from {SHORTEST} to {LONGEST}"));
        }
        Some(interval)
    });
    let keep = o.field("keep").map_or(Some(usual.keep), |c| c.number(0, MOST));
    o.finish();
    Some(EtcdSnapshots {
        interval: interval?,
        keep: keep?,
    })
}

pub(super) fn api_server(cursor: Cursor<'_>) -> Option<ApiServer> {
    let mut o = cursor.object()?;
    let cert_sans = o.field("certSANs").map(Cursor::list_of).unwrap_or_default();
    let extra_args = o.field("extraArgs").map(extra_args).unwrap_or_default();
    let admission_control = o
        .field("admissionControl")
        .map(|c| unique(c, admission_plugin, |plugin| plugin.name.to_string()))
        .unwrap_or_default();
    let audit_policy = o.field("auditPolicy").and_then(|c| audit_policy(&c));
    o.finish();
    Some(ApiServer {
        cert_sans,
        extra_args,
        admission_control,
        audit_policy,
    })
}

fn admission_plugin(cursor: Cursor<'_>) -> Option<AdmissionPlugin> {
    let mut o = cursor.object()?;
    let name = o
        .required("name", "name the admission plugin, such as PodSecurity")
        .and_then(|c| c.parsed());
    let configuration = o.field("configuration").and_then(|c| c.document());
    o.finish();
    Some(AdmissionPlugin {
        name: name?,
        configuration,
    })
}

fn audit_policy(cursor: &Cursor<'_>) -> Option<Document> {
    let policy = cursor.document()?;
    let kind = policy.0.get("kind").and_then(|kind| kind.as_str());
    if kind.is_some_and(|kind| kind != POLICY) {
        cursor.fault(format!("is of another kind; expected kind {POLICY}, or none"));
    }
    if !policy.0.get("rules").is_some_and(serde_json::Value::is_array) {
        cursor.fault("has no list of rules; see https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/");
    }
    Some(policy)
}

pub(super) fn manifests(cursor: Cursor<'_>) -> Vec<Manifest> {
    unique(cursor, manifest, |manifest| manifest.name.to_string())
}

fn manifest(cursor: Cursor<'_>) -> Option<Manifest> {
    let mut o = cursor.object()?;
    let name = o
        .required("name", "errors and `bedplate manifests` name the manifest by it")
        .and_then(|c| c.parsed());
    let contents = o.field("contents").and_then(|c| {
        let text = c.text()?;
        if text.trim().is_empty() {
            c.fault("is empty; expected one or several documents of YAML");
        }
        Some(text.to_owned())
    });
    let file = o.field("file").and_then(|c| c.parsed());
    if o.has("contents") == o.has("file") {
        o.here().fault("needs either contents or file");
    }
    o.finish();
    Some(Manifest {
        name: name?,
        contents,
        file,
    })
}

/// Reads a list in which no name is listed twice.
pub(super) fn unique<'a, T>(
    cursor: Cursor<'a>,
    read: impl Fn(Cursor<'a>) -> Option<T>,
    name: impl Fn(&T) -> String,
) -> Vec<T> {
    let mut list: Vec<T> = Vec::new();
    for item in cursor.items() {
        let Some(value) = read(item.clone()) else { continue };
        if list.iter().any(|other| name(other) == name(&value)) {
            item.fault(format!("{} is listed twice", name(&value)));
        } else {
            list.push(value);
        }
    }
    list
}
