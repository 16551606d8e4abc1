//! Why an image could not be built.

use std::io;
use std::path::{Path, PathBuf};

use board::Arch;
use bundle::WriteError;
use layout::LayoutError;
use manifest::ParseError;
use manifest::model::Version;

use crate::device_trees::DeviceTreeError;
use crate::disk_image::DiskImageError;
use crate::erofs::ErofsError;
use crate::firmware_config::FirmwareConfigError;
use crate::inputs::InputError;
use crate::loader::LoaderError;
use crate::modules::ModuleError;
use crate::patches::OlderError;
use crate::select::SelectError;
use crate::shipped_firmware::ShipError;
use crate::slot::SlotError;
use crate::tree::TreeError;

/// A fault of building an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Packages could not be had.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Files could not be chosen.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Modules could not be chosen.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// Files do not make a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The root could not be made.
    #[error(transparent)]
    Erofs(#[from] ErofsError),
    /// The slot could not be put together.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Device trees could not be changed.
    #[error(transparent)]
    DeviceTree(#[from] DeviceTreeError),
    /// The firmware's configuration could not be added to.
    #[error(transparent)]
    FirmwareConfig(#[from] FirmwareConfigError),
    /// The ESP has files that nodes could not compare with.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// The loader could not be given its keys.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The disk cannot be laid out.
    #[error("the board's `disk:` cannot be laid out")]
    Layout(#[from] LayoutError),
    /// The manifest is not one that a loader takes.
    #[error("no loader would accept the manifest")]
    Manifest(#[from] ParseError),
    /// The bundle could not be written.
    #[error("cannot write the bundle")]
    Bundle(#[from] WriteError),
    /// An older bundle is not one that patches can be made from.
    #[error(transparent)]
    Older(#[from] OlderError),
    /// Patches could not be made.
    #[error("cannot make patches from {from}")]
    Patches {
        /// The older release.
        from: Version,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bundle that was written is not one that a reader takes.
    #[error("the finished bundle does not verify")]
    Verify(#[from] bundle::Error),
    /// The disk image could not be made.
    #[error(transparent)]
    DiskImage(#[from] DiskImageError),
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program of ours has not been built.
    #[error(
        "{path} is missing: build the programs for {arch} first (`cargo xtask build`), or name their folder with --binaries"
    )]
    NoBinary {
        /// The program.
        path: PathBuf,
        /// The architecture.
        arch: Arch,
    },
    /// The list of crates does not come from the same tree as this program.
    #[error(
        "{path} is not a list of crates as this program knows it: build the programs again (`cargo xtask build`)"
    )]
    Crates {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A device tree is named that the board's files do not have.
    #[error("{what} {name:?} is not one of the board's device trees; add it to deviceTrees.files")]
    NoDeviceTree {
        /// What names it.
        what: &'static str,
        /// The tree.
        name: String,
    },
}

/// Adds the path of the file that could not be accessed.
pub(crate) fn access(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Access { path, source }
}
