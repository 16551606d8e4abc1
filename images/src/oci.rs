//! Packs one static program as a container image: an OCI archive that containerd imports.

use serde_json::json;
use sha2::{Digest, Sha256};

use board::Arch;

/// Packs a program as `/NAME` of an image called `reference`. The same program gives the same bytes.
pub fn archive(reference: &str, arch: Arch, name: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let layer = tar(&[(name, 0o755, program)])?;
    let config = json!({
        "architecture": arch.as_str(),
        "os": "linux",
        "config": {"Entrypoint": [format!("/{name}")]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string();
    let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    described["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
    });
    described["platform"] = json!({"architecture": arch.as_str(), "os": "linux"});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described],
    })
    .to_string();
    let blob = |data: &[u8]| format!("blobs/sha256/{}", hex::encode(Sha256::digest(data)));
    tar(&[
        ("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", 0o644, index.as_bytes()),
        (&blob(&layer), 0o644, &layer),
        (&blob(config.as_bytes()), 0o644, config.as_bytes()),
        (&blob(manifest.as_bytes()), 0o644, manifest.as_bytes()),
    ])
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

fn descriptor(media_type: &str, data: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(data), "size": data.len()})
}

fn tar(files: &[(&str, u32, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
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
