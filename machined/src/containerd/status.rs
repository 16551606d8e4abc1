//! Which of the system's own images containerd has, as a resource.

use serde::{Deserialize, Serialize};

use crate::resource::Resource;

/// Tells that an image that came with the system is in containerd. Named by the image's reference.
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
