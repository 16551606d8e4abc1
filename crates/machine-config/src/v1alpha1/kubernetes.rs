//! What people change in the components of Kubernetes. The doc comments here are the reference page: write them for users.

use std::collections::BTreeMap;

use serde::Serialize;

use super::defaults::is_default;
use crate::value::{Document, FeatureGate, FlagName, Host, ImagePath, Name, Period, PluginName};

/// Flags of a component by name, without the dashes.
pub type ExtraArgs = BTreeMap<FlagName, String>;

/// Switches of feature gates by name.
pub type FeatureGates = BTreeMap<FeatureGate, bool>;

/// How kubelet runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Kubelet {
    /// Flags of kubelet by name, without the dashes. A flag that Bedplate sets itself, or that the version of Kubernetes lacks, is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub extra_args: ExtraArgs,
    /// Fields of kubelet's own config (`KubeletConfiguration`), such as `maxPods: 50`. They are merged into those that Bedplate sets; a field that secures kubelet or follows from the rest of the config is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_config: Option<Document>,
}

/// How the API server runs. Workers ignore it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct ApiServer {
    /// Additional names and addresses for the API server's certificate, besides the node's own, the endpoint's and those in `machine.certSANs`.
    #[serde(rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub cert_sans: Vec<Host>,
    /// Flags of kube-apiserver by name, without the dashes. Words of lists, such as `enable-admission-plugins`, are added to those that Bedplate sets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub extra_args: ExtraArgs,
    /// Settings of admission plugins. Each plugin listed here is enabled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub admission_control: Vec<AdmissionPlugin>,
    /// The audit policy (`Policy` of `audit.k8s.io`), in place of Bedplate's, which records who changed what and never the content of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_policy: Option<Document>,
}

/// The settings of an admission plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionPlugin {
    /// The name of the plugin, such as `PodSecurity`.
    pub name: PluginName,
    /// Its settings, with their own `apiVersion` and `kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Document>,
}

/// How a component of the control plane runs. Workers ignore it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSettings {
    /// Flags of the component by name, without the dashes. A flag that Bedplate sets itself, or that the version lacks, is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub extra_args: ExtraArgs,
}

impl ComponentSettings {
    pub(super) fn is_default(&self) -> bool {
        is_default(self)
    }
}

/// How etcd runs. Workers ignore it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Etcd {
    /// Flags of etcd by name, without the dashes. A flag that Bedplate sets itself, or that the version lacks, is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub extra_args: ExtraArgs,
    /// The snapshots that each control plane takes of its etcd, and keeps on DATA.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub snapshots: EtcdSnapshots,
}

/// The snapshots that each control plane takes of its etcd, and keeps on DATA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct EtcdSnapshots {
    /// How often one is taken: from 10m to 168h. 12 h if not given.
    #[serde(skip_serializing_if = "EtcdSnapshots::is_usual_interval")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "EtcdSnapshots::interval"))]
    pub interval: Period,
    /// How many are kept, up to 100: the newest. 5 if not given. With 0 none is taken, and none is removed.
    #[serde(skip_serializing_if = "EtcdSnapshots::is_usual_number")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "EtcdSnapshots::keep"))]
    pub keep: u32,
}

impl EtcdSnapshots {
    fn interval() -> Period {
        Period::seconds(12 * 3600)
    }

    fn keep() -> u32 {
        5
    }

    fn is_usual_interval(value: &Period) -> bool {
        *value == Self::interval()
    }

    fn is_usual_number(value: &u32) -> bool {
        *value == Self::keep()
    }
}

impl Default for EtcdSnapshots {
    fn default() -> Self {
        Self {
            interval: Self::interval(),
            keep: Self::keep(),
        }
    }
}

/// Objects of Kubernetes that control planes apply, with either `contents` or `file`. What is taken out of the list is deleted from the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The name of the manifest, unique in the list.
    pub name: Name,
    /// One or several documents of YAML, each an object. They are no secret: whoever may read the machine config sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
    /// A file in the image with such documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<ImagePath>,
}
