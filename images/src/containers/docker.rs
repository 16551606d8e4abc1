//! Finds the image in an archive of `docker save`, of versions that do not write an OCI image layout.
//!
//! Source of the format: the Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".

use oci_image::{digest, media_type};
use serde::Deserialize;
use serde_json::json;

use super::archive::Files;
use super::{Fault, Found, Layer, Packing};
use crate::oci::descriptor;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Finds the only image, and makes the manifest that it lacks.
///
/// # Errors
/// Fails when there are several images, or files are missing.
pub(super) fn find(files: &Files) -> Result<Found<'_>, Fault> {
    let mut all: Vec<Saved> = files.json("manifest.json")?;
    let saved = match (all.pop(), all.is_empty()) {
        (Some(saved), true) => saved,
        (Some(_), false) => {
            return Err(Fault::Image(
                "it has several images; save each to a file of its own".into(),
            ));
        }
        (None, _) => return Err(Fault::Image("it has no image".into())),
    };
    let config = files.needed(&saved.config)?;
    let layers = saved.layers.iter().map(|path| {
        let data = files.needed(path)?;
        Ok(Layer {
            digest: digest(data),
            packing: packing(data),
            data,
        })
    });
    let layers: Vec<Layer<'_>> = layers.collect::<Result<_, Fault>>()?;
    let described = layers.iter().map(|layer| {
        let media_type = match layer.packing {
            Packing::Plain => media_type::LAYER,
            Packing::Gzip => media_type::LAYER_GZIP,
            Packing::Zstd => media_type::LAYER_ZSTD,
        };
        descriptor(media_type, layer.data)
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": descriptor(media_type::CONFIG, config),
        "layers": described.collect::<Vec<_>>(),
    });
    Ok(Found {
        names: saved.repo_tags.unwrap_or_default().into_iter().collect(),
        media_type: media_type::MANIFEST.to_owned(),
        manifest: manifest.to_string().into_bytes(),
        config,
        layers,
    })
}

fn packing(data: &[u8]) -> Packing {
    match data {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ => Packing::Plain,
    }
}
