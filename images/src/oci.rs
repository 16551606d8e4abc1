//! Packs container images: OCI archives that containerd and Podman import.

use std::io::{self, Write};

use oci_image::{digest, media_type};
use serde_json::json;
use sha2::{Digest, Sha256};

use board::Arch;

/// A container image of one layer, which names what it runs itself.
pub struct Image<'a> {
    /// Its name and tag, such as `localhost/bedplate:0.1.0`.
    pub reference: &'a str,
    /// The architecture of its programs.
    pub arch: Arch,
    /// How a container of it is started: the object `config` of the OCI image configuration.
    pub config: serde_json::Value,
    /// Its files, as an uncompressed tar archive.
    pub layer: &'a [u8],
}

impl Image<'_> {
    /// Writes the image as an OCI archive. The same image gives the same bytes.
    ///
    /// # Errors
    /// Fails when the archive cannot be written.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let config = json!({
            "architecture": self.arch.as_str(),
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest(self.layer)]},
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": descriptor(media_type::CONFIG, config.as_bytes()),
            "layers": [descriptor(media_type::LAYER, self.layer)],
        })
        .to_string();
        pack(
            out,
            self.reference,
            self.arch,
            media_type::MANIFEST,
            manifest.as_bytes(),
            &[self.layer, config.as_bytes()],
        )
    }
}

/// Writes an OCI archive of one image: its manifest, and the layers and config that the manifest names.
///
/// # Errors
/// Fails when the archive cannot be written.
pub(crate) fn pack(
    out: impl Write,
    reference: &str,
    arch: Arch,
    media_type: &str,
    manifest: &[u8],
    blobs: &[&[u8]],
) -> io::Result<()> {
    let mut described = descriptor(media_type, manifest);
    described["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
    });
    described["platform"] = json!({"architecture": arch.as_str(), "os": "linux"});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::INDEX,
        "manifests": [described],
    })
    .to_string();
    let paths = blobs.iter().chain([&manifest]).map(|data| {
        let path = format!("blobs/sha256/{}", hex::encode(Sha256::digest(data)));
        (path, *data)
    });
    let paths: Vec<(String, &[u8])> = paths.collect();
    let mut files = vec![
        ("oci-layout", 0o644, &br#"{"imageLayoutVersion":"1.0.0"}"#[..]),
        ("index.json", 0o644, index.as_bytes()),
    ];
    for (path, data) in &paths {
        // An image may have the same layer twice.
        if files.iter().all(|(there, ..)| there != path) {
            files.push((path, 0o644, data));
        }
    }
    tar(out, &files).map(drop)
}

/// Packs a program as `/NAME` of an image called `reference`. The same program gives the same bytes.
pub fn archive(reference: &str, arch: Arch, name: &str, program: &[u8]) -> io::Result<Vec<u8>> {
    let image = Image {
        reference,
        arch,
        config: json!({"Entrypoint": [format!("/{name}")]}),
        layer: &tar(Vec::new(), &[(name, 0o755, program)])?,
    };
    let mut archive = Vec::new();
    image.write(&mut archive)?;
    Ok(archive)
}

pub(crate) fn descriptor(media_type: &str, data: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(data), "size": data.len()})
}

fn tar<W: Write>(out: W, files: &[(&str, u32, &[u8])]) -> io::Result<W> {
    let mut builder = tar::Builder::new(out);
    for (path, mode, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, path, *data)?;
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::deb::read_tar;
    use crate::tree::Node;

    #[test]
    fn every_digest_in_the_archive_names_a_blob_in_it() {
        let bytes = archive("localhost/x:1", Arch::Arm64, "pause", b"elf").unwrap();
        let files = read_tar(bytes.as_slice()).unwrap();
        let json = |path: &str| -> serde_json::Value {
            let Node::File { data, .. } = &files[path] else {
                panic!("{path}")
            };
            assert!(path == "index.json" || path.ends_with(&hex::encode(Sha256::digest(data))));
            serde_json::from_slice(data).unwrap()
        };
        let path = |value: &serde_json::Value| {
            value["digest"]
                .as_str()
                .unwrap()
                .replace("sha256:", "blobs/sha256/")
        };
        let index = json("index.json");
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "localhost/x:1"
        );
        let manifest = json(&path(&index["manifests"][0]));
        let config = json(&path(&manifest["config"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert!(files.contains_key(&path(&manifest["layers"][0])));
        assert_eq!(
            bytes,
            archive("localhost/x:1", Arch::Arm64, "pause", b"elf").unwrap()
        );
    }
}
