//! Which container images came with the system, and which damaged stores of containerd are kept.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// An image that came with the system and is in containerd. Named by the image's reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageStatus {
    /// The digest of the image's manifest, such as `sha256:…`.
    pub digest: String,
    /// The size of all its blobs in bytes.
    pub size: u64,
    /// The archive it came from.
    pub archive: String,
}

impl Resource for ImageStatus {
    const KIND: &'static str = "ImageStatus";
}

/// Damaged stores of containerd that are kept for inspection. Owned by `container-store`; one, named `node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerStoreStatus {
    /// Those that are kept, oldest first.
    pub kept: Vec<KeptStore>,
}

impl Resource for ContainerStoreStatus {
    const KIND: &'static str = "ContainerStoreStatus";
}

/// A damaged store that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptStore {
    /// Where it is.
    pub path: String,
    /// What was wrong with it.
    pub reason: String,
    /// When it was put aside by the node's clock, in seconds since 1970.
    pub unix: u64,
}
