//! What an image says about itself: its config, by the OCI image specification. Pure.

use containerd::Layer;
use oci_image::{Descriptor, Execution, ImageConfig, LAYERS_MAX, Manifest, digest, is_digest};
use serde::de::DeserializeOwned;

/// An image that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// The digest of its config.
    pub config_digest: String,
    /// What is run when the workload says nothing else.
    pub execution: Execution,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// An image cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A document is not what the specification says.
    #[error("the {what} of the image cannot be read")]
    Parse {
        /// The manifest or the config.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The parts of the image disagree.
    #[error("the image {0}")]
    Wrong(&'static str),
}

/// Returns the digest of the config that a manifest names.
///
/// # Errors
///
/// It is not a manifest.
pub fn config_digest(manifest: &[u8]) -> Result<String, ImageError> {
    let manifest: Manifest = parse("manifest", manifest)?;
    Ok(manifest.config.digest)
}

/// Lists digest and size of each part that a manifest names: config and layers.
///
/// # Errors
///
/// It is not a manifest.
pub fn parts(manifest: &[u8]) -> Result<Vec<(String, u64)>, ImageError> {
    let manifest: Manifest = parse("manifest", manifest)?;
    let part = |part: Descriptor| (part.digest, part.size);
    Ok(manifest
        .layers
        .into_iter()
        .chain([manifest.config])
        .map(part)
        .collect())
}

/// Reads manifest and config of an image.
///
/// # Errors
///
/// One of them cannot be read, or they disagree.
pub fn runnable(manifest: &[u8], config: &[u8]) -> Result<Runnable, ImageError> {
    let manifest: Manifest = parse("manifest", manifest)?;
    let config: ImageConfig = parse("config", config)?;
    let count = manifest.layers.len();
    if count != config.rootfs.diff_ids.len() {
        return Err(ImageError::Wrong("has not as many layers as its config says"));
    }
    if count == 0 || count > LAYERS_MAX {
        return Err(ImageError::Wrong("has no layers, or more than 127"));
    }
    if !config.rootfs.diff_ids.iter().all(|digest| is_digest(digest)) {
        return Err(ImageError::Wrong("has a layer whose name is not a digest"));
    }
    let chains = chains(&config.rootfs.diff_ids);
    let layers = manifest.layers.into_iter().zip(chains).map(|(layer, chain)| {
        let size =
            i64::try_from(layer.size).map_err(|_| ImageError::Wrong("has a layer that fits nowhere"))?;
        Ok(Layer {
            media_type: layer.media_type,
            digest: layer.digest,
            size,
            chain,
        })
    });
    Ok(Runnable {
        config_digest: manifest.config.digest,
        layers: layers.collect::<Result<_, ImageError>>()?,
        execution: config.config.unwrap_or_default(),
    })
}

fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Parse { what, source })
}

/// Names each layer on those below it: the specification's ChainID.
fn chains(diffs: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::new();
    for diff in diffs {
        let chain = match chains.last() {
            None => diff.clone(),
            Some(below) => digest(format!("{below} {diff}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: usize) -> Vec<u8> {
        let layer =
            |n: usize| serde_json::json!({"mediaType": "l", "digest": format!("sha256:{n}"), "size": n});
        let layers: Vec<_> = (0..layers).map(layer).collect();
        let config = serde_json::json!({"mediaType": "c", "digest": "sha256:c", "size": 1});
        serde_json::json!({"config": config, "layers": layers})
            .to_string()
            .into()
    }

    fn config(layers: usize) -> Vec<u8> {
        let diffs: Vec<String> = (0..layers).map(|n| digest(&[n as u8])).collect();
        let config = serde_json::json!({"Entrypoint": ["/a"], "Cmd": null, "Env": ["A=1"], "User": "7"});
        serde_json::json!({"config": config, "rootfs": {"type": "layers", "diff_ids": diffs}})
            .to_string()
            .into()
    }

    #[test]
    fn layers_are_named_on_those_below_them() {
        let image = runnable(&manifest(2), &config(2)).unwrap();
        assert_eq!(image.layers[0].chain, digest(&[0]));
        let second = digest(format!("{} {}", digest(&[0]), digest(&[1])).as_bytes());
        assert_eq!(image.layers[1].chain, second);
        assert_eq!(
            (image.execution.entrypoint, image.execution.user.as_str()),
            (vec!["/a".to_owned()], "7")
        );
    }

    #[test]
    fn parts_that_disagree_are_refused() {
        assert!(runnable(&manifest(2), &config(1)).is_err());
        assert!(runnable(&manifest(0), &config(0)).is_err());
        assert!(runnable(&manifest(128), &config(128)).is_err());
        assert!(runnable(b"{}", &config(1)).is_err());
        assert!(runnable(&manifest(1), br#"{"rootfs": {"diff_ids": ["../../x"]}}"#).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_document_panics(one in "[\\[\\]{}:,\"a-z0-9]{0,80}", other in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = runnable(one.as_bytes(), &other);
            let _ = runnable(&manifest(1), one.as_bytes());
            let _ = config_digest(&other);
            let _ = parts(&other);
        }
    }
}
