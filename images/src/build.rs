//! The whole way from a board and its overlays to a signed bundle.

use std::io;
use std::path::{Path, PathBuf};

use board::{Arch, Selection};
use bundle::WriteError;
use layout::LayoutError;
use manifest::model::Version;
use manifest::{Manifest, ParseError, PartKind, TrustedKey};

use crate::contents;
use crate::device_trees::{DeviceTreeError, Overlays};
use crate::disk_image::{self, DiskImage, DiskImageError};
use crate::erofs::{ErofsError, Tool};
use crate::inputs::{self, InputError};
use crate::loader::{self, LoaderError};
use crate::modules::{self, Chosen, Kernel, ModuleError};
use crate::packages::fetch::Fetcher;
use crate::patches::{Older, OlderError};
use crate::publish::{self, Contents};
use crate::release;
use crate::report::{PartSize, PatchSize, Progress};
use crate::sbom::Crates;
use crate::select::SelectError;
use crate::slot::{self, Content, SlotError};
use crate::tree::TreeError;
use signing::SecretKey;

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
    /// The loader could not be given its keys.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The disk cannot be laid out.
    #[error("the board's `disk:` cannot be laid out")]
    Layout(#[from] LayoutError),
    /// The manifest is not one that a loader takes.
    #[error("the manifest would be refused")]
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
    #[error("{what} {name:?} is none of the board's device trees; add it to deviceTrees.files")]
    NoDeviceTree {
        /// What names it.
        what: &'static str,
        /// The tree.
        name: String,
    },
}

/// What to build.
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
    /// Whether to write a disk image, too.
    pub disk_image: bool,
}

/// What was built.
pub struct Built {
    /// The bundle.
    pub bundle: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Size of the bundle.
    pub size: u64,
    /// Sizes by part.
    pub parts: Vec<PartSize>,
    /// What upgrades cost by patches, by older release.
    pub patches: Vec<PatchSize>,
    /// The list of what is in it.
    pub sbom: PathBuf,
    /// The disk image, if one was asked for.
    pub disk_image: Option<DiskImage>,
}

impl Request<'_> {
    /// Gives the name that all results of this build start with.
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
        let data = publish::read(&path).map_err(access(&path))?;
        let arch = self.arch();
        data.ok_or(BuildError::NoBinary { path, arch })
    }

    fn crates(&self) -> Result<Crates, BuildError> {
        const FILE: &str = "crates.json";
        let path = self.binaries.join(self.arch().as_str()).join(FILE);
        serde_json::from_slice(&self.binary(FILE)?).map_err(|source| BuildError::Crates { path, source })
    }
}

/// Builds a bundle.
pub fn build(request: &Request<'_>, fetcher: &mut Fetcher, progress: &Progress) -> Result<Built, BuildError> {
    let board = &request.selection.board;
    // What is quick to check comes first: nobody likes to wait for a download to learn of a missing file.
    let machined = request.binary("machined")?;
    let loader = request.binary("bootloader.efi")?;
    let crates = request.crates()?;
    let overlays = Overlays::read(&request.selection.features.device_tree_overlays)?;
    let trusted = request.trusted();
    let mut older = Older::open_all(request.patch_from, &trusted, &board.name.to_string())?;
    progress.step("getting packages");
    let inputs = inputs::get(request.selection, fetcher)?;
    let (tool, tools) = Tool::get(fetcher, request.cache)?;
    let kernel = Kernel::open(&inputs.kernel, &inputs.packages[&inputs.kernel])?;

    progress.step("choosing files and modules");
    let modules = &request.selection.features.modules;
    let mut early = Chosen::new();
    kernel.choose(&modules.early, &mut early)?;
    let mut all = early.clone();
    kernel.choose(&modules.autoload, &mut all)?;
    kernel.choose(&modules.available, &mut all)?;
    modules::check_signatures(&request.selection.features.kernel_arguments, &all)?;
    let release = release::yaml(request.selection, &request.version.to_string(), kernel.version());
    let root = contents::root(request, &inputs, &machined, &release, &kernel, &all)?;
    let initramfs = contents::initramfs(&machined, &release, &kernel, &early)?;

    progress.step("making the root file system");
    let scratch = tempfile::tempdir().map_err(access(request.out))?;
    let erofs = tool.make(&root, scratch.path(), request.created)?;

    progress.step("hashing the slot");
    let image = kernel.image().ok_or_else(|| ModuleError::NoKernel {
        package: inputs.kernel.clone(),
        what: "kernel",
    })?;
    let mut parts = vec![
        Content {
            kind: PartKind::Kernel,
            name: "vmlinuz".into(),
            data: image.to_vec(),
        },
        Content {
            kind: PartKind::Initramfs,
            name: "initramfs.cpio".into(),
            data: initramfs,
        },
    ];
    parts.extend(contents::device_trees(
        request,
        &inputs.kernel,
        &kernel,
        &overlays,
    )?);
    parts.push(Content {
        kind: PartKind::Root,
        name: "root.erofs".into(),
        data: erofs,
    });
    let slot = slot::assemble(parts, board.disk.slot_size.0)?;

    progress.step("making the EFI system partition");
    let esp = contents::esp(
        request,
        &inputs,
        &kernel,
        &overlays,
        loader::with_keys(&loader, &trusted)?,
    )?;
    let boot_code = contents::boot_code(request, &inputs)?;

    progress.step("compressing and signing");
    let locked = fetcher.notes().is_empty();
    let contents = Contents {
        slot: &slot,
        esp: &esp,
        boot_code: boot_code.as_deref(),
        locked,
    };
    let (bundle, id) = publish::write(request, &contents, &mut older, progress)?;
    let used = contents::used(request, &inputs, &root);
    let sbom = publish::sbom(request, &id, &used, &tools, &crates)?;

    progress.step("verifying the bundle");
    let measured = publish::measure(&bundle, &trusted)?;
    let disk_image = match request.disk_image {
        true => {
            progress.step("writing the disk image");
            Some(disk_image::make(&bundle, &trusted)?)
        }
        false => None,
    };
    Ok(Built {
        bundle,
        manifest: measured.manifest,
        size: measured.size,
        parts: measured.parts,
        patches: measured.patches,
        sbom,
        disk_image,
    })
}

/// Says which file it was that could not be accessed.
pub(crate) fn access(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Access { path, source }
}
