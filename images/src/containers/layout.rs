//! Finds the image of an architecture in an OCI image layout.
//!
//! Source of the format: the Open Containers image specification, `image-layout.md`, `image-index.md` and `manifest.md`; and
//! what docker's image format adds to the media types.

use std::collections::{BTreeMap, BTreeSet};

use board::Arch;
use serde::Deserialize;

use super::archive::{Files, json};
use super::{Fault, Found, Layer, Packing};
use crate::oci::digest;

/// Names that an index gives an image, the better ones first.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// The mark of what build tools attach to images: how they were built.
const ATTACHED: &str = "vnd.docker.reference.type";
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
const LAYERS: [(&str, Packing); 5] = [
    ("application/vnd.oci.image.layer.v1.tar", Packing::Plain),
    ("application/vnd.oci.image.layer.v1.tar+gzip", Packing::Gzip),
    ("application/vnd.oci.image.layer.v1.tar+zstd", Packing::Zstd),
    ("application/vnd.docker.image.rootfs.diff.tar", Packing::Plain),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Packing::Gzip),
];
/// How deep indexes may lie in each other: the archive's own, one for several platforms, and one to spare.
const DEPTH: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
    #[serde(default)]
    urls: Vec<String>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// What a walk through the indexes found.
#[derive(Default)]
struct Walk {
    /// Manifests by digest, with their media types, sizes and names.
    manifests: BTreeMap<String, (Descriptor, BTreeSet<String>)>,
    /// Platforms that the board is not.
    others: BTreeSet<String>,
}

/// Finds the image for an architecture.
///
/// # Errors
/// Fails when there is none or are several, and on blobs that are not what their digests say.
pub(super) fn find(files: &Files, arch: Arch) -> Result<Found<'_>, Fault> {
    let layout: Layout = files.json("oci-layout")?;
    if layout.image_layout_version != "1.0.0" {
        return Err(Fault::Image(format!(
            "its layout has version {:?}; 1.0.0 is known",
            layout.image_layout_version
        )));
    }
    let mut walk = Walk::default();
    let index: Index = files.json("index.json")?;
    walk.index(files, index, arch, &BTreeSet::new(), DEPTH)?;
    let mut manifests = walk.manifests.into_values();
    match (manifests.next(), manifests.next()) {
        (Some((descriptor, names)), None) => image(files, &descriptor, names),
        (None, _) if walk.others.is_empty() => Err(Fault::Image("it has no image".into())),
        (None, _) => {
            let others: Vec<String> = walk.others.into_iter().collect();
            Err(Fault::Image(format!(
                "it has no image for linux/{arch}, which the board needs; it has {}",
                others.join(", ")
            )))
        }
        (Some((_, first)), Some((_, second))) => {
            let names: Vec<String> = first.into_iter().chain(second).collect();
            Err(Fault::Image(format!(
                "it has several images ({}); save each to a file of its own",
                names.join(", ")
            )))
        }
    }
}

impl Walk {
    fn index(
        &mut self,
        files: &Files,
        index: Index,
        arch: Arch,
        above: &BTreeSet<String>,
        depth: usize,
    ) -> Result<(), Fault> {
        for descriptor in index.manifests {
            if descriptor.annotations.contains_key(ATTACHED) {
                continue;
            }
            let own = NAMES.iter().find_map(|name| descriptor.annotations.get(*name));
            let names = own.map_or_else(|| above.clone(), |own| BTreeSet::from([own.clone()]));
            if INDEXES.contains(&descriptor.media_type.as_str()) {
                if depth == 0 {
                    return Err(Fault::Image("its indexes lie too deep in each other".into()));
                }
                let path = path(&descriptor.digest)?;
                // Tools that save one platform of an image may leave the index of all of them.
                let inner: Index = json(&path, blob(files, &descriptor)?)?;
                self.index(files, inner, arch, &names, depth - 1)?;
            } else if MANIFESTS.contains(&descriptor.media_type.as_str()) {
                let platform = descriptor.platform.as_ref();
                if let Some(other) = platform
                    .filter(|platform| platform.os != "linux" || platform.architecture != arch.as_str())
                {
                    self.others.insert(format!("{}/{}", other.os, other.architecture));
                    continue;
                }
                let entry = self.manifests.entry(descriptor.digest.clone());
                let (_, all) = entry.or_insert_with(|| (descriptor, BTreeSet::new()));
                all.extend(names);
            } else {
                return Err(Fault::Image(format!(
                    "it has a {}, which is not a container image",
                    descriptor.media_type
                )));
            }
        }
        Ok(())
    }
}

fn image<'a>(files: &'a Files, descriptor: &Descriptor, names: BTreeSet<String>) -> Result<Found<'a>, Fault> {
    let bytes = blob(files, descriptor)?;
    let manifest: Manifest = json(&path(&descriptor.digest)?, bytes)?;
    if !CONFIGS.contains(&manifest.config.media_type.as_str()) {
        return Err(Fault::Image(format!(
            "its configuration is a {}: it is an artifact, not a container image",
            manifest.config.media_type
        )));
    }
    let layers = manifest.layers.iter().map(|layer| {
        let known = LAYERS.iter().find(|(name, _)| *name == layer.media_type);
        let Some((_, packing)) = known.filter(|_| layer.urls.is_empty()) else {
            return Err(Fault::Image(format!(
                "layer {} is a {}; known: tar, plain or with gzip or zstd, and in the archive itself",
                layer.digest, layer.media_type
            )));
        };
        Ok(Layer {
            digest: layer.digest.clone(),
            packing: *packing,
            data: blob(files, layer)?,
        })
    });
    Ok(Found {
        names,
        media_type: descriptor.media_type.clone(),
        manifest: bytes.to_vec(),
        config: blob(files, &manifest.config)?,
        layers: layers.collect::<Result<_, Fault>>()?,
    })
}

/// Returns a blob, after its size and digest.
fn blob<'a>(files: &'a Files, descriptor: &Descriptor) -> Result<&'a [u8], Fault> {
    let data = files.needed(&path(&descriptor.digest)?)?;
    let found = digest(data);
    if data.len() as u64 != descriptor.size || found != descriptor.digest {
        return Err(Fault::Image(format!(
            "blob {} is damaged: it has {} bytes and digest {found}, where {} bytes are announced",
            descriptor.digest,
            data.len(),
            descriptor.size
        )));
    }
    Ok(data)
}

fn path(digest: &str) -> Result<String, Fault> {
    let hash = digest.strip_prefix("sha256:");
    let hash = hash.filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let hash = hash.ok_or_else(|| Fault::Image(format!("{digest:?} in it is not a SHA-256 digest")))?;
    Ok(format!("blobs/sha256/{hash}"))
}
