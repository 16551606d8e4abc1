//! The file `release.yaml`: what an image says about itself and its board.
//!
//! The image builder writes it by [`Release::to_yaml`], and machined reads it by [`load`]: one type, so that they cannot
//! differ. Holds facts, and checks none of them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use service_definition::Service;

/// Where the file is in the root.
pub const PATH: &str = "/usr/share/bedplate/release.yaml";
/// Where the file is in the initramfs.
pub const EARLY_PATH: &str = "/release.yaml";

/// The longest file: some hundred times what an image says.
const LIMIT: usize = 1024 * 1024;

/// The facts of one image. Everything machined knows about its board is here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Release {
    /// The board the image is for.
    pub board: String,
    /// The image's version.
    pub version: String,
    /// `arm64` or `amd64`.
    pub arch: String,
    /// The kernel's release: the name of its module folder.
    pub kernel: String,
    /// The overlays the image was built with.
    #[serde(default)]
    pub overlays: Vec<String>,
    /// Modules to load in the initramfs: what the board needs to see its disk.
    #[serde(default, alias = "early")]
    pub modules: Vec<String>,
    /// Modules to load when machined starts.
    #[serde(default)]
    pub autoload: Vec<String>,
    /// Programs to keep running.
    #[serde(default)]
    pub services: Vec<Service>,
    /// The programs of a Kubernetes node in the image; none if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesPrograms>,
}

/// Which programs of a Kubernetes node an image has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesPrograms {
    /// The version of Kubernetes, such as `1.36.2`.
    pub version: String,
    /// The version of etcd, such as `3.5.16`; none in an image for workers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
}

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: text::LoadError,
    },
    /// The file is not what it should be.
    #[error("{} is not a valid release file", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: yaml::Fault,
    },
}

impl Release {
    /// Returns the text of the file.
    pub fn to_yaml(&self) -> String {
        yaml::to_string(self).expect("texts, lists and maps with text keys can always be written")
    }
}

/// Reads the text of a release file.
///
/// # Errors
///
/// What is not YAML, or has other fields.
pub fn parse(text: &str) -> Result<Release, yaml::Fault> {
    yaml::from_str(text)
}

/// Reads a release file.
///
/// # Errors
///
/// What cannot be read, or is not one.
pub fn load(path: &Path) -> Result<Release, Error> {
    let text = text::load(path, LIMIT).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|source| Error::Parse {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "
board: qemu-arm64
version: 0.1.0
arch: arm64
kernel: 7.3.0-arm64
overlays: [base]
modules: [virtio_blk, dm_verity]
autoload: [overlay]
services:
  - name: containerd
    command: [/usr/bin/containerd, --config, /etc/containerd/config.toml]
    health: {socket: /run/containerd/containerd.sock}
    limits: {memory: 536870912}
  - name: log
    command: [/usr/bin/log]
    after: [containerd]
    restart: onFailure
";

    #[test]
    fn reads_facts_and_services() {
        let release = parse(EXAMPLE).unwrap();
        assert_eq!(release.modules, ["virtio_blk", "dm_verity"]);
        let containerd = &release.services[0];
        assert_eq!((containerd.enabled, containerd.stop_seconds), (true, 10));
        assert_eq!(containerd.health.as_ref().unwrap().every_seconds, 10);
        assert_eq!(release.services[1].after, ["containerd"]);
        assert_eq!(parse(&release.to_yaml()).unwrap(), release);
    }

    #[test]
    fn a_misspelt_key_is_refused_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.yaml");
        std::fs::write(&path, EXAMPLE.replace("autoload", "autolod")).unwrap();
        let error = load(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("release.yaml is not a valid release file")
        );
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.starts_with("autolod: unknown field, did you mean \"autoload\"?"),
            "{source}"
        );
        assert!(matches!(
            load(&folder.path().join("absent")),
            Err(Error::Read { .. })
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("\\PC{0,12}", 9), etcd: bool) {
            let text = |index: usize| texts[index].clone();
            let release = Release {
                board: text(0),
                version: text(1),
                arch: text(2),
                kernel: text(3),
                overlays: texts[..2].to_vec(),
                modules: texts[2..5].to_vec(),
                autoload: Vec::new(),
                services: vec![Service::new(text(5), [text(6)])],
                kubernetes: Some(KubernetesPrograms {
                    version: text(7),
                    etcd: etcd.then(|| text(8)),
                }),
            };
            prop_assert_eq!(parse(&release.to_yaml()).unwrap(), release);
        }

        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
