//! Metadata: what a cloud says about an instance. Most of it is for other systems, and not read.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// The most bytes of metadata that are read.
pub const LIMIT: usize = 256 * 1024;

/// What a node takes from metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaData {
    /// The instance's name: one label of a host name, in lower case. `None` when there is none, or none that a host can have.
    pub host_name: Option<String>,
    /// Set when there are SSH keys, which a node has no use for.
    pub ssh_keys: bool,
}

/// Says why metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MetaDataError {
    /// It is too long.
    #[error("the metadata has more than {LIMIT} bytes")]
    TooLong,
    /// It is not text.
    #[error("the metadata is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// It is not JSON.
    #[error("the metadata is not the JSON that was expected")]
    Json(#[from] serde_json::Error),
    /// It is not YAML.
    #[error("the metadata is not the YAML that was expected: {0}")]
    Yaml(yaml::Fault),
}

/// The fields of OpenStack's `meta_data.json`.
#[derive(Deserialize)]
struct OpenStack {
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    public_keys: Option<IgnoredAny>,
}

/// The fields of NoCloud's `meta-data`.
#[derive(Deserialize)]
struct NoCloud {
    #[serde(default, rename = "local-hostname")]
    local_hostname: Option<String>,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default, rename = "public-keys")]
    public_keys: Option<IgnoredAny>,
}

/// Reads OpenStack's `meta_data.json`.
///
/// # Errors
///
/// When it is too long, or not such a document.
pub fn openstack(bytes: &[u8]) -> Result<MetaData, MetaDataError> {
    if bytes.len() > LIMIT {
        return Err(MetaDataError::TooLong);
    }
    let read: OpenStack = object(bytes)?;
    Ok(MetaData {
        host_name: read.hostname.as_deref().and_then(label),
        ssh_keys: read.public_keys.is_some(),
    })
}

/// Reads a JSON object. Serde takes a list for the fields of a struct as well.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MetaDataError> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)?;
    Ok(serde_json::from_value(object.into())?)
}

/// Reads NoCloud's `meta-data`: YAML, which JSON is as well. An empty document says nothing.
///
/// # Errors
///
/// When it is too long, or not such a document.
pub fn nocloud(bytes: &[u8]) -> Result<MetaData, MetaDataError> {
    if bytes.len() > LIMIT {
        return Err(MetaDataError::TooLong);
    }
    let text = std::str::from_utf8(bytes)?;
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(MetaData::default());
    }
    let read: NoCloud = yaml::from_str(text).map_err(MetaDataError::Yaml)?;
    let name = read.local_hostname.or(read.hostname);
    Ok(MetaData {
        host_name: name.as_deref().and_then(label),
        ssh_keys: read.public_keys.is_some(),
    })
}

/// Returns the first label of a name, which a host can have: clouds append a domain that need not exist.
pub fn label(name: &str) -> Option<String> {
    let first = name
        .trim()
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let usable = (1..=63).contains(&first.len())
        && first.bytes().all(plain)
        && !first.starts_with('-')
        && !first.ends_with('-');
    usable.then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(name: &str, ssh_keys: bool) -> MetaData {
        MetaData {
            host_name: Some(name.to_owned()),
            ssh_keys,
        }
    }

    #[test]
    fn openstack_names_the_instance() {
        let json = br#"{"uuid": "d8e02d56", "hostname": "Worker-1.novalocal", "name": "Worker 1", "launch_index": 0,
            "public_keys": {"mykey": "ssh-ed25519 AAAA"}, "meta": {"a": [1, {"b": null}]}, "random_seed": "yu5ZnkqF2Cqn"}"#;
        assert_eq!(openstack(json).unwrap(), said("worker-1", true));
        assert_eq!(openstack(br#"{"hostname": "a"}"#).unwrap(), said("a", false));
        assert_eq!(openstack(b"{}").unwrap(), MetaData::default());
        for wrong in [
            &b""[..],
            b"[]",
            b"[\"a\"]",
            b"<html>",
            b"{\"hostname\": 7}",
            b"{\"hostname\": \"a\"} x",
        ] {
            assert!(openstack(wrong).is_err());
        }
        assert!(matches!(
            openstack(&vec![b' '; LIMIT + 1]),
            Err(MetaDataError::TooLong)
        ));
    }

    #[test]
    fn nocloud_is_yaml_or_json() {
        let yaml = b"instance-id: iid-1\nlocal-hostname: cp1\npublic-keys:\n  - ssh-ed25519 AAAA\n";
        assert_eq!(nocloud(yaml).unwrap(), said("cp1", true));
        assert_eq!(
            nocloud(b"{\"instance-id\": \"a\", \"hostname\": \"cp2\"}").unwrap(),
            said("cp2", false)
        );
        for nothing in [&b""[..], b"\n", b"# nothing\n"] {
            assert_eq!(nocloud(nothing).unwrap(), MetaData::default());
        }
        for wrong in [&b"- a\n"[..], b"local-hostname: [a]\n", b"a: b: c\n", b"\xff\xfe"] {
            assert!(nocloud(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_that_no_host_has_is_none() {
        for wrong in [
            "",
            ".novalocal",
            "my server",
            "a_b",
            "-a",
            "a-",
            "../x",
            &"a".repeat(64),
        ] {
            assert_eq!(label(wrong), None, "{wrong}");
        }
        assert_eq!(label("Web.example.org.").as_deref(), Some("web"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[ -~\n]{0,120}") {
            for data in [&bytes[..], text.as_bytes()] {
                let _ = openstack(data);
                let _ = nocloud(data);
            }
        }
    }
}
