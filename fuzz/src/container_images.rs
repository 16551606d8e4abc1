//! Container images: whoever runs a registry, or gives somebody an archive, may send any bytes.

use oci_image::registry::{BLOB_MAX, Challenge, Document, challenge, document, token};
use oci_image::{ImageConfig, Index, blob_path, is_digest};

/// What is asked for next is a digest, and of a size that fits somewhere; what is told is short.
pub(super) fn manifest(data: &[u8]) {
    match document(data, "arm64") {
        Ok(Document::Image { config, layers, .. }) => {
            assert!((1..=256).contains(&layers.len()));
            for part in layers.iter().chain([&config]) {
                assert!(is_digest(&part.digest) && part.size <= BLOB_MAX, "{part:?}");
            }
        }
        Ok(Document::List { digest }) => assert!(is_digest(&digest), "{digest}"),
        Err(refused) => {
            let told = refused.to_string();
            assert!(told.len() < 8192 && !told.contains('\n'), "{told}");
        }
    }
}

/// A name of a part of an archive leads to a file of its folder, and nowhere else.
pub(super) fn index(data: &[u8]) {
    let Ok(index) = serde_json::from_slice::<Index>(data) else {
        return;
    };
    for part in &index.manifests {
        if let Some(path) = blob_path(&part.digest) {
            let file = path.strip_prefix("blobs/sha256/");
            let plain = |file: &str| file.len() == 64 && file.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(file.is_some_and(plain), "{path}");
        }
        assert!(
            part.name()
                .is_none_or(|name| part.annotations.values().any(|value| value == name))
        );
    }
}

/// What is not there, and what is null, is the same.
pub(super) fn config(data: &[u8]) {
    let Ok(mut tree) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    let Ok(config) = serde_json::from_value::<ImageConfig>(tree.clone()) else {
        return;
    };
    if let Some(parts) = tree["config"].as_object_mut() {
        parts.retain(|_, value| !value.is_null());
    }
    let again = serde_json::from_value::<ImageConfig>(tree).expect("it was one before");
    assert_eq!((again.config, again.platform), (config.config, config.platform));
}

/// The server of tokens that is asked is one of the web, and what it gives can stand in a header.
pub(super) fn answer(data: &[u8]) {
    if let Ok(header) = str::from_utf8(data)
        && let Some(Challenge::Bearer { realm, service }) = challenge(header)
    {
        assert!(
            realm.starts_with("https://") || realm.starts_with("http://"),
            "{realm}"
        );
        assert!(!realm.contains('"') && !service.is_some_and(|service| service.contains('"')));
    }
    if let Some(token) = token(data) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
