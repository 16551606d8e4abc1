use proptest::prelude::*;

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Makes an archive of these files.
fn tar_of(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut tar = tar::Builder::new(file.reopen().unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap();
    file
}

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn index(media_type: &str, size: usize, annotations: &str) -> String {
    let digest = digest('a');
    format!(
        r#"{{"manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size},"annotations":{annotations}}}]}}"#
    )
}

fn manifest() -> String {
    format!(
        r#"{{"config":{{"mediaType":"c","digest":"{}","size":2}},"layers":[{{"mediaType":"l","digest":"{}","size":5}}]}}"#,
        digest('b'),
        digest('c')
    )
}

fn archive_with(index: &str, manifest: &str) -> Result<Archive, ArchiveError> {
    let [a, b, c] = ['a', 'b', 'c'].map(|letter| blob_path(&digest(letter)));
    let file = tar_of(&[
        ("index.json", index.as_bytes()),
        (&a, manifest.as_bytes()),
        (&b, b"{}"),
        (&c, b"layer"),
    ]);
    Archive::open(file.path())
}

const NAMED: &str = r#"{"io.containerd.image.name":"localhost/pause:1"}"#;

#[test]
fn finds_each_blob_of_an_image() {
    let manifest = manifest();
    let archive = archive_with(&index(MANIFEST, manifest.len(), NAMED), &manifest).unwrap();
    let [image] = archive.images.as_slice() else {
        panic!("one image")
    };
    assert_eq!(image.name, "localhost/pause:1");
    let order: Vec<&str> = image.blobs().map(|blob| &blob.digest[7..8]).collect();
    assert_eq!(order, ["c", "b", "a"]);
    assert_eq!(image.layers[0].size, 5);
}

#[test]
fn says_what_is_wrong_with_an_archive() {
    let good = manifest();
    let len = good.len();
    let cases = [
        (
            index("application/vnd.oci.image.index.v1+json", len, NAMED),
            good.clone(),
            "only an image manifest",
        ),
        (index(MANIFEST, len + 1, NAMED), good.clone(), "are announced"),
        (r#"{"manifests":[]}"#.into(), good.clone(), "names no image"),
        ("{".into(), good.clone(), "index.json is not what"),
        (
            index(MANIFEST, 2, NAMED),
            "[]".into(),
            "is not what an OCI image layout has",
        ),
        (
            index(MANIFEST, len, NAMED),
            good.replace("cccc", "dddd"),
            "is not in the archive",
        ),
    ];
    for (index, manifest, expected) in cases {
        let error = archive_with(&index, &manifest).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_image_has_the_name_that_its_tool_gave_it_or_none() {
    let spec = r#"{"org.opencontainers.image.ref.name":"localhost/a:1"}"#;
    let both = r#"{"org.opencontainers.image.ref.name":"1","io.containerd.image.name":"localhost/a:1"}"#;
    let manifest = manifest();
    for (annotations, expected) in [(spec, "localhost/a:1"), (both, "localhost/a:1"), ("{}", "")] {
        let archive = archive_with(&index(MANIFEST, manifest.len(), annotations), &manifest).unwrap();
        assert_eq!(archive.images[0].name, expected, "{annotations}");
    }
}

#[test]
fn refuses_a_file_that_is_no_archive() {
    let file = tar_of(&[("hello", b"world")]);
    let error = Archive::open(file.path()).unwrap_err().to_string();
    assert!(error.contains("no index.json"), "{error}");
}

proptest! {
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        prop_assert!(Archive::open(file.path()).is_err());
    }

    #[test]
    fn a_garbled_archive_never_panics(at in 0_usize..6000, byte: u8) {
        let manifest = manifest();
        let file = tar_of(&[
            ("index.json", index(MANIFEST, manifest.len(), NAMED).as_bytes()),
            (&blob_path(&digest('a')), manifest.as_bytes()),
        ]);
        let mut bytes = std::fs::read(file.path()).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= byte;
        std::fs::write(file.path(), bytes).unwrap();
        let _ = Archive::open(file.path());
    }
}
