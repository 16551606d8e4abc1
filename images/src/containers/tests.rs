use std::fs;
use std::io::Write as _;
use std::path::Path;

use oci_image::digest;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::oci::descriptor;

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Parts of an OCI archive, to be spoiled before they are packed.
struct Oci {
    files: Vec<(String, Vec<u8>)>,
    manifests: Vec<Value>,
}

impl Oci {
    fn new() -> Self {
        Self {
            files: vec![("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())],
            manifests: vec![],
        }
    }

    fn blob(&mut self, media_type: &str, data: &[u8]) -> Value {
        let described = descriptor(media_type, data);
        let path = format!("blobs/sha256/{}", &digest(data)["sha256:".len()..]);
        if self.files.iter().all(|(there, _)| *there != path) {
            self.files.push((path, data.to_vec()));
        }
        described
    }

    /// Adds an image of two layers, gzip and zstd; returns its descriptor.
    fn image(&mut self, arch: &str, content: &[u8]) -> Value {
        let (lower, upper) = (tar(&[("bin/app", content)]), tar(&[("etc/app.conf", b"x")]));
        let config = json!({
            "architecture": arch, "os": "linux", "config": {"Entrypoint": ["/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&lower), digest(&upper)]},
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let layers = [
            self.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &gzip(&lower)),
            self.blob(
                "application/vnd.oci.image.layer.v1.tar+zstd",
                &zstd::encode_all(upper.as_slice(), 3).unwrap(),
            ),
        ];
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        self.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
    }

    fn list(mut self, described: Value, annotation: &str, name: &str) -> Self {
        let mut described = described;
        if !name.is_empty() {
            described["annotations"] = json!({annotation: name});
        }
        self.manifests.push(described);
        self
    }

    fn pack(mut self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests}).to_string();
        self.files.push(("index.json".into(), index.into_bytes()));
        let files: Vec<(&str, &[u8])> = self
            .files
            .iter()
            .map(|(path, data)| (path.as_str(), data.as_slice()))
            .collect();
        tar(&files)
    }
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn named(name: &str) -> Oci {
    let mut oci = Oci::new();
    let image = oci.image("arm64", b"elf");
    oci.list(image, REF_NAME, name)
}

fn open(argument: &str, data: &[u8]) -> Result<Container, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tar");
    fs::write(&path, data).unwrap();
    let given = Given {
        path,
        ..Given::parse(&format!("{argument}image.tar"))
    };
    let all = load(&[given], &["localhost/bedplate/pause:0.1"], Arch::Arm64);
    all.map(|mut all| all.remove(0)).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        source.unwrap_or_else(|| error.to_string())
    })
}

/// Reads what was packed as machined will: the name and the blobs that the manifest needs.
fn packed(container: &Container) -> (String, Vec<String>) {
    let files = archive::read(container.archive.as_slice()).unwrap();
    let index: Value = files.json("index.json").unwrap();
    let described = &index["manifests"][0];
    assert_eq!(described["digest"], json!(container.digest));
    assert_eq!(described["platform"]["architecture"], "arm64");
    let again = open("", &container.archive).unwrap();
    assert_eq!((&again.digest, &again.name), (&container.digest, &container.name));
    let manifest: Value = files
        .json(&container.digest.replace("sha256:", "blobs/sha256/"))
        .unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let name = described["annotations"]["io.containerd.image.name"].as_str();
    (
        name.unwrap().to_owned(),
        layers
            .map(|layer| layer["mediaType"].as_str().unwrap().to_owned())
            .collect(),
    )
}

#[test]
fn an_oci_archive_keeps_its_manifest_and_gets_its_full_name() {
    let mut oci = Oci::new();
    let image = oci.image("arm64", b"elf");
    let expected = image["digest"].clone();
    let container = open("", &oci.list(image, REF_NAME, "nginx:1.27").pack()).unwrap();
    assert_eq!(json!(container.digest), expected);
    assert_eq!(packed(&container).0, "docker.io/library/nginx:1.27");
    assert_eq!(container.unpacked % 512, 0);
    // Compressed as a whole, it is the same.
    assert_eq!(open("", &gzip(&named("nginx:1.27").pack())).unwrap(), container);
    let other = open("camera=", &named("nginx:1.27").pack()).unwrap();
    assert_eq!(packed(&other).0, "docker.io/library/camera:latest");
    assert_eq!(other.digest, container.digest);
}

#[test]
fn of_an_image_for_several_platforms_that_of_the_board_is_taken() {
    let mut oci = Oci::new();
    let mut all = Vec::new();
    for arch in ["amd64", "arm64"] {
        let mut image = oci.image(arch, arch.as_bytes());
        image["platform"] = json!({"os": "linux", "architecture": arch});
        all.push(image);
    }
    let wanted = all[1]["digest"].clone();
    let mut attached = oci.image("unknown", b"how it was built");
    attached["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    all.push(attached);
    let index = json!({"schemaVersion": 2, "manifests": all}).to_string();
    let index = oci.blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    let data = oci
        .list(index, "io.containerd.image.name", "localhost/app:1")
        .pack();
    let container = open("", &data).unwrap();
    assert_eq!(json!(container.digest), wanted);
    assert_eq!(packed(&container).0, "localhost/app:1");
}

/// An archive of `docker save` as older versions write it, the second layer as a link to the first.
fn saved(tags: Value) -> Vec<u8> {
    let layer = tar(&[("bin/app", b"elf")]);
    let config = json!({
        "architecture": "arm64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer), digest(&layer)]},
    })
    .to_string();
    let name = format!("{}.json", &digest(config.as_bytes())["sha256:".len()..]);
    let manifest =
        json!([{"Config": name, "RepoTags": tags, "Layers": ["aa/layer.tar", "bb/layer.tar"]}]).to_string();
    let mut builder = tar::Builder::new(tar(&[
        (name.as_str(), config.as_bytes()),
        ("aa/layer.tar", &layer),
        ("manifest.json", manifest.as_bytes()),
    ]));
    // Goes on where the archive's end would be.
    let end = builder.get_ref().len() - 1024;
    builder.get_mut().truncate(end);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "bb/layer.tar", "../aa/layer.tar")
        .unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn an_archive_of_docker_save_gets_a_manifest() {
    let container = open("", &saved(json!(["app:2"]))).unwrap();
    let (name, layers) = packed(&container);
    assert_eq!(name, "docker.io/library/app:2");
    assert_eq!(layers, ["application/vnd.oci.image.layer.v1.tar"; 2]);
    assert_eq!(open("", &saved(json!(["app:2"]))).unwrap(), container);
    let error = open("", &saved(Value::Null)).unwrap_err();
    assert!(
        error.contains("does not say its name") && error.contains("NAME=FILE"),
        "{error}"
    );
    let error = open("", &saved(json!(["b:1", "a:1"]))).unwrap_err();
    assert!(error.ends_with("--container NAME=FILE: a:1, b:1"), "{error}");
}

#[test]
fn what_is_wrong_is_named_with_the_way_out() {
    let foreign = {
        let mut oci = Oci::new();
        let image = oci.image("amd64", b"elf");
        oci.list(image, REF_NAME, "a:1")
    };
    let two = {
        let mut oci = Oci::new();
        let (one, other) = (oci.image("arm64", b"1"), oci.image("arm64", b"2"));
        oci.list(one, REF_NAME, "a:1").list(other, REF_NAME, "b:1")
    };
    let mut lacks = named("a:1");
    lacks.files.remove(1);
    let mut damaged = named("a:1");
    damaged.files[1].1.push(b' ');
    let mut artifact = Oci::new();
    let config = artifact.blob("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
    let manifest = artifact.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    let artifact = artifact.list(manifest, REF_NAME, "a:1");
    let mut newer = named("a:1");
    newer.files[0].1 = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec();
    let whole = named("a:1").pack();
    let wrong = format!("a@sha256:{}=", "0".repeat(64));
    for (argument, data, expected) in [
        (
            "",
            foreign.pack(),
            "it is for linux/amd64, and the board needs linux/arm64",
        ),
        ("", two.pack(), "several images (a:1, b:1)"),
        ("", lacks.pack(), "it lacks blobs/sha256/"),
        ("", damaged.pack(), "is damaged"),
        ("", artifact.pack(), "an artifact, not a container image"),
        ("", newer.pack(), "version \"2.0.0\""),
        ("", named("latest").pack(), "does not say its name"),
        ("", Oci::new().pack(), "it has no image"),
        (
            "",
            tar(&[("etc/passwd", b"root")]),
            "neither an OCI archive nor one of docker save",
        ),
        ("", b"no archive at all".repeat(100), "it cannot be read"),
        ("", whole[..whole.len() / 2].to_vec(), ""),
        (
            "localhost/bedplate/pause:0.1=",
            whole.clone(),
            "two container images are called",
        ),
        (wrong.as_str(), whole, "and its name says sha256:000"),
    ] {
        let error = open(argument, &data).unwrap_err();
        assert!(error.contains(expected), "{expected:?}: {error}");
    }
}

#[test]
fn a_layer_must_be_the_one_that_the_configuration_names() {
    let mut oci = Oci::new();
    let config = json!({
        "architecture": "arm64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(b"another")]},
    });
    let config = oci.blob(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let layer = oci.blob("application/vnd.oci.image.layer.v1.tar", &tar(&[("a", b"1")]));
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string();
    let manifest = oci.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    let error = open("", &oci.list(manifest, REF_NAME, "a:1").pack()).unwrap_err();
    assert!(
        error.contains("is not the one that the configuration names"),
        "{error}"
    );
}

#[test]
fn a_file_may_have_an_equals_sign() {
    let parsed = |text: &str| {
        let given = Given::parse(text);
        (given.name.map(|name| name.to_string()), given.path)
    };
    assert_eq!(parsed("a.tar"), (None, Path::new("a.tar").into()));
    assert_eq!(
        parsed("cam:1=x=y.tar"),
        (Some("cam:1".into()), Path::new("x=y.tar").into())
    );
    assert_eq!(parsed("./a=b.tar"), (None, Path::new("./a=b.tar").into()));
}

#[test]
fn an_image_enters_the_tree_under_its_name() {
    let container = open("", &named("localhost:5000/a/app:1").pack()).unwrap();
    let mut tree = Tree::default();
    add(&mut tree, std::slice::from_ref(&container)).unwrap();
    let path = format!("{FOLDER}/localhost_5000_a_app_1.tar");
    assert_eq!(tree.get(&path), Some(&Node::text(container.archive)));
}

proptest! {
    #[test]
    fn no_archive_panics(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = open("a=", &data);
    }

    #[test]
    fn no_spoiled_archive_panics_or_passes_as_another(at in 0_usize..20_000, with in any::<u8>()) {
        let mut data = named("a:1").pack();
        let whole = open("", &data).unwrap();
        let at = at % data.len();
        data[at] = with;
        // Either it is refused, or what was spoiled is no part of the image.
        if let Ok(container) = open("a:1=", &data) {
            prop_assert_eq!(container.digest, whole.digest);
        }
    }
}
