//! What control planes apply to the cluster.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// A manifest of the cluster. Owned by the controller `cluster-manifests`, on control planes only; named by the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestStatus {
    /// Its place in the order in which manifests are applied, from 1.
    pub order: u32,
    /// Where it comes from: `Bedplate`, `machine config`, or a file of the image.
    pub source: String,
    /// How many objects it has.
    pub objects: u32,
    /// How far it is.
    pub state: ManifestState,
    /// What is wrong, or what it waits for, one sentence; none if it is applied.
    pub message: Option<String>,
}

impl Resource for ManifestStatus {
    const KIND: &'static str = "ManifestStatus";
}

/// How far a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ManifestState {
    /// Every object is in the cluster as it is to be.
    Applied,
    /// Nothing is wrong with it: the API server cannot be asked, or another control plane's list counts.
    Waiting,
    /// It cannot be read, or the API server refused an object of it.
    Failed,
}
