//! What registries say: challenges, manifests, and lists of them by platform. Pure: everything in here comes from outside.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Descriptor, is_digest, media_type};

/// The largest blob that is pulled, in bytes: more fits on no board's disk.
pub const BLOB_MAX: u64 = 8 << 30;
/// The most parts of an image, and of a list of images.
const PARTS_MAX: usize = 256;
/// What manifests may be.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                          application/vnd.docker.distribution.manifest.list.v2+json, \
                          application/vnd.docker.distribution.manifest.v2+json";

/// What a registry sent cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no manifest.
    #[error("the registry sends no manifest of an image")]
    NotAManifest,
    /// No image for this board is listed.
    #[error("the image is not built for linux/{0}; it is for {1}")]
    Platform(String, String),
    /// A digest or size is not one.
    #[error("the manifest has a part that cannot be right: {0}")]
    Part(String),
    /// What it sent is not what was asked for.
    #[error("the registry sends other bytes than those of {0}")]
    Digest(String),
}

/// What a registry asks for before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token, which another server gives.
    Bearer {
        /// The address of that server.
        realm: String,
        /// For which service.
        service: Option<String>,
    },
}

/// Reads the header `WWW-Authenticate`; none when it asks for something unknown.
pub fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let value = |wanted: &str| {
        let mut rest = rest;
        while let Some((name, tail)) = rest.split_once("=\"") {
            let (value, tail) = tail.split_once('"')?;
            if name.trim_matches([' ', ',']).eq_ignore_ascii_case(wanted) {
                return Some(value.to_owned());
            }
            rest = tail;
        }
        None
    };
    let realm = value("realm")?;
    let known = realm.starts_with("https://") || realm.starts_with("http://");
    known.then(|| Challenge::Bearer {
        realm,
        service: value("service"),
    })
}

/// Reads what a server of tokens answers; none when there is no token that a header may have.
pub fn token(answer: &[u8]) -> Option<Zeroizing<String>> {
    let answer: Token = serde_json::from_slice(answer).ok()?;
    let token = Zeroizing::new(answer.token.or(answer.access_token)?);
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(token)
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// A part of an image: what its manifest says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its digest, which is one.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Image {
        /// The media type of its manifest.
        media_type: String,
        /// Its config.
        config: Part,
        /// Its layers, lowest first.
        layers: Vec<Part>,
    },
    /// A list, and in it the digest of the image for this board.
    List {
        /// The digest of its manifest.
        digest: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// Reads a manifest or a list of them, for an architecture by its name in Go.
///
/// # Errors
///
/// It is neither, has nothing for this board, or a part of it cannot be right.
pub fn document(bytes: &[u8], architecture: &str) -> Result<Document, Refused> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|_| Refused::NotAManifest)?;
    if let Some(list) = raw.manifests {
        return pick(list, architecture).map(|digest| Document::List { digest });
    }
    let (Some(config), Some(layers)) = (raw.config, raw.layers) else {
        return Err(Refused::NotAManifest);
    };
    if layers.is_empty() || layers.len() > PARTS_MAX {
        return Err(Refused::Part(format!("it has {} layers", layers.len())));
    }
    Ok(Document::Image {
        media_type: raw.media_type.unwrap_or_else(|| media_type::MANIFEST.to_owned()),
        config: part(config)?,
        layers: layers.into_iter().map(part).collect::<Result<_, _>>()?,
    })
}

fn part(raw: Descriptor) -> Result<Part, Refused> {
    if !is_digest(&raw.digest) {
        return Err(Refused::Part(format!(
            "{:?} is not a digest",
            shortened(&raw.digest)
        )));
    }
    if raw.size > BLOB_MAX {
        return Err(Refused::Part(format!("{} has {} bytes", raw.digest, raw.size)));
    }
    Ok(Part {
        digest: raw.digest,
        size: raw.size,
    })
}

fn pick(list: Vec<Descriptor>, architecture: &str) -> Result<String, Refused> {
    let fits = |part: &&Descriptor| {
        let platform = part.platform.as_ref();
        platform.is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture)
    };
    match list.iter().take(PARTS_MAX).find(fits) {
        Some(found) if is_digest(&found.digest) => Ok(found.digest.clone()),
        Some(found) => Err(Refused::Part(format!(
            "{:?} is not a digest",
            shortened(&found.digest)
        ))),
        None => {
            let all = list.iter().filter_map(|part| part.platform.as_ref());
            let all: Vec<String> = all
                .take(8)
                .map(|one| format!("{}/{}", shortened(&one.os), shortened(&one.architecture)))
                .collect();
            Err(Refused::Platform(architecture.to_owned(), all.join(", ")))
        }
    }
}

/// Cuts a text from outside down to what a sentence can hold.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_in_any_order() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
            })
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a.b/t\",service=\"s\",scope=\"x\"",
                bearer("https://a.b/t", Some("s")),
            ),
            (
                "bearer service=\"s\", realm=\"http://a/t\"",
                bearer("http://a/t", Some("s")),
            ),
            ("Bearer realm=\"https://a.b/t\"", bearer("https://a.b/t", None)),
            ("Bearer realm=\"file:///etc/shadow\"", None),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(challenge(header), expected, "{header}");
        }
    }

    #[test]
    fn the_image_for_this_board_is_picked_from_a_list() {
        let digest = |n: char| format!("sha256:{}", n.to_string().repeat(64));
        let one = |n, arch: &str| serde_json::json!({"mediaType": "m", "digest": digest(n), "size": 1, "platform": {"os": "linux", "architecture": arch}});
        let list = serde_json::json!({"manifests": [one('a', "amd64"), one('b', "arm64")]}).to_string();
        assert_eq!(
            document(list.as_bytes(), "arm64"),
            Ok(Document::List { digest: digest('b') })
        );
        let refused = document(list.as_bytes(), "riscv64").unwrap_err().to_string();
        assert_eq!(
            refused,
            "the image is not built for linux/riscv64; it is for linux/amd64, linux/arm64"
        );
    }

    #[test]
    fn parts_that_cannot_be_right_are_refused() {
        let manifest = |digest: &str, size: u64| {
            let part = serde_json::json!({"mediaType": "m", "digest": digest, "size": size});
            serde_json::json!({"config": part, "layers": [part]}).to_string()
        };
        let good = format!("sha256:{}", "0".repeat(64));
        assert!(matches!(
            document(manifest(&good, 7).as_bytes(), "arm64"),
            Ok(Document::Image { .. })
        ));
        for wrong in [
            manifest("sha256:../../x", 7),
            manifest(&good, BLOB_MAX + 1),
            "{}".into(),
            "[".into(),
        ] {
            assert!(document(wrong.as_bytes(), "arm64").is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_from_outside_panics(header in "(Bearer |Basic |realm=|service=|\"|,|=|ä| |https://a){0,20}", bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
            let _ = challenge(&header);
            let _ = document(&bytes, "arm64");
            let _ = document(text.as_bytes(), "arm64");
        }
    }
}
