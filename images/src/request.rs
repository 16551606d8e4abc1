//! What to build, and the files of ours that go into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use board::{Arch, Selection};
use manifest::TrustedKey;
use manifest::model::Version;
use signing::SecretKey;

use crate::containers::Container;
use crate::disk_image::Format;
use crate::error::{BuildError, access};
use crate::kubernetes::Programs;
use crate::sbom::Crates;

/// A request for a build.
pub struct Request<'a> {
    /// The board and its overlays.
    pub selection: &'a Selection,
    /// The release's version.
    pub version: Version,
    /// Keys that sign the manifest; the loader trusts their public halves.
    pub keys: &'a [SecretKey],
    /// Further public keys that the loader trusts.
    pub trust: &'a [TrustedKey],
    /// The lowest version that may still boot once this release is committed.
    pub floor: Version,
    /// Folder of cross-built programs, by architecture.
    pub binaries: &'a Path,
    /// Folder of packages and tools that are kept between builds.
    pub cache: &'a Path,
    /// Folder for the results.
    pub out: &'a Path,
    /// Time that the image bears, in seconds since 1970.
    pub created: u64,
    /// Bundles of older releases that the bundle carries patches from.
    pub patch_from: &'a [PathBuf],
    /// The programs of Kubernetes, where an overlay has some.
    pub kubernetes: Option<&'a Programs>,
    /// Container images that go into it, for workloads.
    pub containers: &'a [Container],
    /// Formats of disk images to write as well.
    pub disk_images: &'a [Format],
}

impl Request<'_> {
    /// Returns the name that all results of this build start with.
    pub fn stem(&self) -> String {
        format!("bedplate-{}-{}", self.selection.board.name, self.version)
    }

    /// Lists the keys that this release trusts: the loader carries them, and the manifest says them.
    pub(crate) fn trusted(&self) -> Vec<TrustedKey> {
        let own = self.keys.iter().map(SecretKey::public);
        own.chain(self.trust.iter().copied()).collect()
    }

    pub(crate) fn arch(&self) -> Arch {
        self.selection.board.arch
    }

    pub(crate) fn binary(&self, name: &str) -> Result<Vec<u8>, BuildError> {
        let path = self.binaries.join(self.arch().as_str()).join(name);
        let arch = self.arch();
        fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BuildError::NoBinary { path, arch },
            _ => access(&path)(error),
        })
    }

    pub(crate) fn crates(&self) -> Result<Crates, BuildError> {
        const FILE: &str = "crates.json";
        let path = self.binaries.join(self.arch().as_str()).join(FILE);
        serde_json::from_slice(&self.binary(FILE)?).map_err(|source| BuildError::Crates { path, source })
    }
}
