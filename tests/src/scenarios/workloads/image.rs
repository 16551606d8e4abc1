//! A container image of one program, made here: it is of no distribution, and the smallest there can be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::tools;

/// The media types of the parts.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image: its parts as bytes.
pub struct Image {
    /// The layers, lowest first.
    pub layers: Vec<Vec<u8>>,
    /// The config.
    pub config: Vec<u8>,
    /// The manifest, which names the others by their digests.
    pub manifest: Vec<u8>,
}

/// Returns the digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Image {
    /// Makes an image of the program that misbehaves, with variables, and a file of that many bytes that nothing compresses.
    pub fn new(variables: &[&str], ballast: usize) -> Result<Image> {
        let program = tools::target().join("node/arm64/faulty");
        let content = fs::read(&program)
            .with_context(|| format!("cannot read {}; `cargo xtask build` makes it", program.display()))?;
        let mut layers = vec![layer(&[("faulty", &content)])?];
        if ballast > 0 {
            let mut bytes = vec![0; ballast];
            rand::fill(bytes.as_mut_slice());
            layers.push(layer(&[("ballast", &bytes)])?);
        }
        let config = json!({
            "architecture": "arm64",
            "os": "linux",
            "config": {"Entrypoint": ["/faulty"], "Cmd": ["serve"], "User": "1000:1000", "Env": variables},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>()},
        });
        let config = config.to_string().into_bytes();
        let part = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part(CONFIG, &config),
            "layers": layers.iter().map(|bytes| part(LAYER, bytes)).collect::<Vec<_>>(),
        });
        Ok(Image {
            layers,
            config,
            manifest: manifest.to_string().into_bytes(),
        })
    }

    /// Writes it as an OCI archive under a name.
    pub fn archive(&self, name: &str, to: &Path) -> Result<PathBuf> {
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST,
            "digest": digest(&self.manifest),
            "size": self.manifest.len(),
            "annotations": {"io.containerd.image.name": name},
        }]});
        let index = index.to_string();
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion": "1.0.0"}"#.as_slice(),
            ),
            ("index.json".to_owned(), index.as_bytes()),
        ];
        for blob in self.layers.iter().chain([&self.config, &self.manifest]) {
            let hex = digest(blob).split_off("sha256:".len());
            files.push((format!("blobs/sha256/{hex}"), blob.as_slice()));
        }
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, content)| (name.as_str(), *content))
            .collect();
        fs::write(to, layer(&files)?).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(to.to_owned())
    }
}

/// Packs files, each of which can be run.
fn layer(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len())?);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, *content)?;
    }
    Ok(tar.into_inner()?)
}
