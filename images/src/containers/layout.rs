//! Finds the image of an architecture in an OCI image layout.
//!
//! Source of the format: the Open Containers image specification, `image-layout.md`, `image-index.md` and `manifest.md`; and
//! what docker's image format adds to the media types.

use std::collections::{BTreeMap, BTreeSet};

use board::Arch;
use oci_image::{Descriptor, Index, Manifest, blob_path, digest, media_type};
use serde::Deserialize;

use super::archive::{Files, json};
use super::{Fault, Found, Layer, Packing};

/// The mark of what build tools attach to images: how they were built.
const ATTACHED: &str = "vnd.docker.reference.type";
const LAYERS: [(&str, Packing); 5] = [
    (media_type::LAYER, Packing::Plain),
    (media_type::LAYER_GZIP, Packing::Gzip),
    (media_type::LAYER_ZSTD, Packing::Zstd),
    (media_type::DOCKER_LAYER, Packing::Plain),
    (media_type::DOCKER_LAYER_GZIP, Packing::Gzip),
];
/// How deep indexes may lie in each other: the archive's own, one for several platforms, and one to spare.
const DEPTH: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
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
            let own = descriptor.name();
            let names = own.map_or_else(|| above.clone(), |own| BTreeSet::from([own.to_owned()]));
            if media_type::INDEXES.contains(&descriptor.media_type.as_str()) {
                if depth == 0 {
                    return Err(Fault::Image("its indexes lie too deep in each other".into()));
                }
                let path = path(&descriptor.digest)?;
                // Tools that save one platform of an image may leave the index of all of them.
                let inner: Index = json(&path, blob(files, &descriptor)?)?;
                self.index(files, inner, arch, &names, depth - 1)?;
            } else if media_type::MANIFESTS.contains(&descriptor.media_type.as_str()) {
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
    if !media_type::CONFIGS.contains(&manifest.config.media_type.as_str()) {
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
    blob_path(digest).ok_or_else(|| Fault::Image(format!("{digest:?} in it is not a SHA-256 digest")))
}
