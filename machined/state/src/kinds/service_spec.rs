//! Services that controllers want.

use std::fmt;

use machine_config::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use service_definition::Service;

use crate::Resource;

/// The folder that holds a folder of files for each service. It is in memory, and gone after a reboot.
pub const SERVICE_FILES: &str = "/run/bedplate/services";

/// A service that a controller wants, beside those of the image. Named by the service.
///
/// The kind is shared: each controller owns its own specs. While a spec exists, its service runs as the services of the
/// image do; when the spec is removed, the service is stopped and forgotten. Nothing in it but the contents of
/// [secret files](FileContents::Secret) is secret: command and environment are shown, and programs take secrets from files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// The service, in the form in which images list theirs.
    pub service: Service,
    /// Files that are written before each start. Its folder holds these and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ServiceFile>,
}

impl Resource for ServiceSpec {
    const KIND: &'static str = "ServiceSpec";
    const SHARED: bool = true;
}

impl ServiceSpec {
    /// Makes a spec without files.
    pub fn new(service: Service) -> Self {
        ServiceSpec {
            service,
            files: Vec::new(),
        }
    }

    /// Adds a file that everybody may see.
    #[must_use]
    pub fn with_file(self, name: &str, text: impl Into<String>) -> Self {
        let contents = FileContents::Plain(text.into());
        self.with(name, 0o644, contents)
    }

    /// Adds a file that only the service may read.
    #[must_use]
    pub fn with_secret(self, name: &str, secret: Secret) -> Self {
        self.with(name, 0o600, FileContents::Secret(secret))
    }

    /// Marks all files as read again by the service itself: another content does not restart it.
    #[must_use]
    pub fn reloading(mut self) -> Self {
        for file in &mut self.files {
            file.reloads = true;
        }
        self
    }

    fn with(mut self, name: &str, mode: u32, contents: FileContents) -> Self {
        self.files.push(ServiceFile {
            path: file_path(&self.service.name, name),
            mode: FileMode(mode),
            contents,
            reloads: false,
        });
        self
    }
}

/// Returns the path of a file of a service, for its command line.
pub fn file_path(service: &str, name: &str) -> String {
    format!("{SERVICE_FILES}/{service}/{name}")
}

/// A file that a service is given. Owned by the service's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceFile {
    /// The path, absolute, below the service's folder in [`SERVICE_FILES`].
    pub path: String,
    /// The permission bits.
    pub mode: FileMode,
    /// The contents.
    pub contents: FileContents,
    /// Set when the service reads the file again by itself, as Kubernetes does with certificates: another content is put
    /// in place while the service runs, and does not restart it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reloads: bool,
}

/// What is in a file of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileContents {
    /// A text that everybody may see.
    Plain(String),
    /// A text that never leaves the node.
    #[serde(deserialize_with = "secret")]
    Secret(Secret),
}

impl FileContents {
    /// Returns the contents themselves, for the file and for nothing else.
    pub fn expose(&self) -> &str {
        match self {
            FileContents::Plain(text) => text,
            FileContents::Secret(secret) => secret.expose(),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// Permission bits, shown in octal: `"0600"`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl fmt::Debug for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8).map(FileMode).map_err(|_| {
            serde::de::Error::custom(format!(
                "{text:?} is not a mode; write it in octal, such as \"0600\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn the_api_sees_a_spec_without_its_secrets() {
        let spec = ServiceSpec::new(Service::new("etcd", ["/usr/bin/etcd"]))
            .with_file("ca.crt", "public")
            .with_secret("server.key", Secret::new("private"))
            .reloading();
        let store = Store::new();
        store.put("cluster", "etcd", spec.clone()).unwrap();
        assert_eq!(store.get::<ServiceSpec>("etcd"), Some(spec));
        let shown = store.get_dyn("ServiceSpec", "etcd").unwrap().value;
        assert_eq!(
            shown["files"],
            serde_json::json!([
                {"path": "/run/bedplate/services/etcd/ca.crt", "mode": "0644", "contents": {"plain": "public"}, "reloads": true},
                {"path": "/run/bedplate/services/etcd/server.key", "mode": "0600", "contents": {"secret": "<redacted>"}, "reloads": true},
            ])
        );
        let read: ServiceSpec = serde_json::from_value(shown).unwrap();
        assert_eq!(read.files[0].mode, FileMode(0o644));
        assert_eq!(format!("{:?}", read.files[1].contents), "Secret(<redacted>)");
    }
}
