//! The documents that describe container images: index, manifest and config, and what registries say. Without I/O.
//!
//! Source of the formats: the Open Containers image specification 1.1, `descriptor.md`, `image-index.md`, `manifest.md` and
//! `config.md`; and Docker's formats, which have the same fields under other media types. What the specification requires
//! is required here; fields that nothing of ours reads are left out, and unknown ones are ignored, as it asks.

mod digest;
pub mod media_type;
pub mod registry;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

pub use digest::{blob_path, digest, is_digest};

/// The most layers that an image may have: overlayfs mounts no more, by containerd.
pub const LAYERS_MAX: usize = 127;

/// The annotations that name an image in an archive, the better one first. The second may be a tag alone.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// A list of manifests: of images, or of one image for several platforms.
#[derive(Debug, Clone, Deserialize)]
pub struct Index {
    /// The manifests or further indexes.
    pub manifests: Vec<Descriptor>,
}

/// The parts of an image for one platform.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// Its config, an [`ImageConfig`].
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// Where a document names another one, or a layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is: see [`media_type`].
    pub media_type: String,
    /// The digest of its bytes. Only [`is_digest`] says whether it is one.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// What else is said about it.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on.
    pub platform: Option<Platform>,
    /// Where else it may be had.
    #[serde(default)]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Returns the name that an archive's index gives the image.
    pub fn name(&self) -> Option<&str> {
        let name = NAMES.iter().find_map(|name| self.annotations.get(*name))?;
        Some(name)
    }
}

/// What an image runs on, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture, such as `arm64`.
    pub architecture: String,
}

/// What an image says about itself.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageConfig {
    /// What it runs on. Some old images do not say.
    #[serde(flatten)]
    pub platform: Option<Platform>,
    /// How a container of it is started.
    pub config: Option<Execution>,
    /// Its file system.
    pub rootfs: RootFs,
}

/// How a container is started if nobody says otherwise. What is `null` is as if it were not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// The program and its first arguments.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// The arguments.
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// The folder in which it starts.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// The user: names or numbers.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// The signal that asks it to end.
    pub stop_signal: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// The file system of an image.
#[derive(Debug, Clone, Deserialize)]
pub struct RootFs {
    /// The digest of each layer when it is unpacked, lowest first.
    pub diff_ids: Vec<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_is_read_with_what_docker_adds() {
        let index: Index = serde_json::from_str(
            r#"{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7,
                "digest": "sha256:aa", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
                "annotations": {"org.opencontainers.image.ref.name": "1.0", "io.containerd.image.name": "a/b:1.0"}}]}"#,
        )
        .unwrap();
        let only = &index.manifests[0];
        assert_eq!((only.name(), only.size), (Some("a/b:1.0"), 7));
        assert_eq!(only.platform.as_ref().unwrap().architecture, "arm64");
        assert!(media_type::MANIFESTS.contains(&only.media_type.as_str()));
    }

    #[test]
    fn what_the_specification_requires_is_required() {
        for text in [
            r#"{"digest": "sha256:aa", "size": 1}"#,
            r#"{"mediaType": "m", "size": 1}"#,
            r#"{"mediaType": "m", "digest": "sha256:aa"}"#,
            r#"{"mediaType": "m", "digest": "sha256:aa", "size": -1}"#,
        ] {
            assert!(serde_json::from_str::<Descriptor>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<ImageConfig>("{}").is_err());
    }

    #[test]
    fn a_config_may_leave_out_its_platform_and_have_null() {
        let text =
            r#"{"config": {"Cmd": null, "Env": ["A=1"]}, "rootfs": {"type": "layers", "diff_ids": []}}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.platform, None);
        let execution = config.config.unwrap();
        assert_eq!((execution.cmd, execution.env), (vec![], vec!["A=1".to_owned()]));
        let text = r#"{"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:aa"]}}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.platform.unwrap().os, "linux");
    }

    proptest! {
        #[test]
        fn no_document_panics(text in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
            let _ = serde_json::from_str::<Index>(&text);
            let _ = serde_json::from_str::<Manifest>(&text);
            let _ = serde_json::from_str::<ImageConfig>(&text);
        }
    }
}
