//! What the image says about itself and its board: `release.yaml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use service_definition::Service;

/// Where the file is in the root.
pub const PATH: &str = "/usr/share/bedplate/release.yaml";
/// Where the file is in the initramfs.
pub const EARLY_PATH: &str = "/release.yaml";

/// Holds the facts of one image. Everything machined knows about its board is here.
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
}

/// Says why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not a valid release file")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_yaml::Error,
    },
}

/// Reads the text of a release file.
pub fn parse(text: &str) -> Result<Release, serde_yaml::Error> {
    serde_yaml::from_str(text)
}

/// Reads a release file.
pub fn load(path: &Path) -> Result<Release, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
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
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let error = parse("board: x\nversion: 1.0.0\narch: arm64\nkernel: k\nautolod: []").unwrap_err();
        assert!(error.to_string().contains("autolod"), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
