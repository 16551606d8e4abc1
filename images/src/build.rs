//! The whole way from a board and its overlays to a signed bundle.

use std::fs;
use std::io::{self, BufWriter, Cursor};
use std::path::{Path, PathBuf};

use board::{Arch, Prefer, Selection};
use bundle::{ImageName, WriteError, Writer};
use layout::{DiskSpec, Layout, LayoutError};
use manifest::model::Version;
use manifest::{DeviceTreePreference, DeviceTrees, Disk, Image, Manifest, ParseError, PartKind, TrustedKey};

use crate::erofs::{ErofsError, Tool};
use crate::esp::{self, Esp};
use crate::inputs::{self, InputError, Inputs};
use crate::keys::SecretKey;
use crate::loader::{self, LoaderError};
use crate::modules::{self, Chosen, Kernel, ModuleError};
use crate::packages::fetch::{Fetched, Fetcher};
use crate::report::{PartSize, Progress};
use crate::select::{self, SelectError};
use crate::slot::{self, Content, Slot, SlotError};
use crate::tree::{Node, Tree, TreeError};
use crate::{initramfs, oci, release};

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
    /// The bundle that was written is not one that a reader takes.
    #[error("the finished bundle does not verify")]
    Verify(#[from] bundle::Error),
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
    /// The board names a device tree that its files do not have.
    #[error("the board's default device tree {name:?} is not among its deviceTrees.files")]
    NoDeviceTree {
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
    /// Folder of cross-built programs, by architecture.
    pub binaries: &'a Path,
    /// Folder of packages and tools that are kept between builds.
    pub cache: &'a Path,
    /// Folder for the results.
    pub out: &'a Path,
    /// Time that the image bears, in seconds since 1970.
    pub created: u64,
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
    /// Every package that is in the image, or made it.
    pub packages: Vec<Fetched>,
    /// The root's files with the packages they come from.
    pub root: Tree,
}

impl Request<'_> {
    /// Gives the name that all results of this build start with.
    pub fn stem(&self) -> String {
        format!("bedplate-{}-{}", self.selection.board.name, self.version)
    }

    fn arch(&self) -> Arch {
        self.selection.board.arch
    }

    fn binary(&self, name: &str) -> Result<Vec<u8>, BuildError> {
        let path = self.binaries.join(self.arch().as_str()).join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BuildError::NoBinary {
                path,
                arch: self.arch(),
            }),
            other => other.map_err(|source| BuildError::Access { path, source }),
        }
    }
}

/// Builds a bundle.
pub fn build(request: &Request<'_>, fetcher: &mut Fetcher, progress: &Progress) -> Result<Built, BuildError> {
    let board = &request.selection.board;
    // What is quick to check comes first: nobody likes to wait for a download to learn of a missing file.
    let machined = request.binary("machined")?;
    let loader = request.binary("bootloader.efi")?;
    progress.step("getting packages");
    let inputs = inputs::get(request.selection, fetcher)?;
    let (tool, tool_packages) = Tool::get(fetcher, request.cache)?;
    let kernel = Kernel::open(&inputs.kernel, &inputs.packages[&inputs.kernel])?;

    progress.step("choosing files and modules");
    let modules = &request.selection.features.modules;
    let mut early = Chosen::new();
    kernel.choose(&modules.early, &mut early)?;
    let mut all = early.clone();
    kernel.choose(&modules.autoload, &mut all)?;
    kernel.choose(&modules.available, &mut all)?;
    let release = release::yaml(request.selection, &request.version.to_string(), kernel.version());
    let root = root(request, &inputs, &machined, &release, &kernel, &all)?;
    let initramfs = initramfs(&machined, &release, &kernel, &early)?;

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
    parts.extend(device_trees(request, &inputs.kernel, &kernel)?);
    parts.push(Content {
        kind: PartKind::Root,
        name: "root.erofs".into(),
        data: erofs,
    });
    let slot = slot::assemble(parts, board.disk.slot_size.0)?;

    progress.step("making the EFI system partition");
    let trusted: Vec<TrustedKey> = request
        .keys
        .iter()
        .map(SecretKey::public)
        .chain(request.trust.iter().copied())
        .collect();
    let esp = esp(request, &inputs, &kernel, loader::with_keys(&loader, &trusted)?)?;
    let boot_code = boot_code(request, &inputs)?;

    progress.step("compressing and signing");
    let locked = fetcher.notes().is_empty();
    let bundle = request.out.join(format!("{}.bundle", request.stem()));
    let mut packages = inputs.fetched;
    packages.extend(tool_packages);
    let manifest = write(request, &bundle, &slot, &esp, boot_code.as_deref(), locked)?;

    progress.step("verifying the bundle");
    let (size, parts) = measure(&bundle, &trusted)?;
    Ok(Built {
        bundle,
        manifest,
        size,
        parts,
        packages,
        root,
    })
}

fn root(
    request: &Request<'_>,
    inputs: &Inputs,
    machined: &[u8],
    release: &str,
    kernel: &Kernel<'_>,
    chosen: &Chosen,
) -> Result<Tree, BuildError> {
    let features = &request.selection.features;
    let mut tree = select::root(features, &inputs.packages, request.arch())?;
    tree.add("usr/bin/machined", Node::program(machined), "machined")?;
    tree.add(release::ROOT_PATH, Node::text(release), "the build")?;
    for image in &features.container_images {
        let program = request.binary(image.program.as_str())?;
        let archive = oci::archive(&image.reference, request.arch(), image.program.as_str(), &program)
            .map_err(access(request.binaries))?;
        tree.add(
            &format!("usr/share/bedplate/images/{}.tar", image.program),
            Node::text(archive),
            "the build",
        )?;
    }
    add_modules(
        &mut tree,
        &format!("usr/lib/modules/{}", kernel.version()),
        chosen,
        &inputs.kernel,
    )?;
    Ok(tree)
}

fn initramfs(
    machined: &[u8],
    release: &str,
    kernel: &Kernel<'_>,
    early: &Chosen,
) -> Result<Vec<u8>, BuildError> {
    let mut tree = Tree::default();
    for folder in ["dev", "proc", "sys"] {
        tree.add(folder, Node::Directory, "the build")?;
    }
    tree.add("init", Node::program(machined), "machined")?;
    tree.add(release::INITRAMFS_PATH, Node::text(release), "the build")?;
    add_modules(
        &mut tree,
        &format!("lib/modules/{}", kernel.version()),
        early,
        "kernel",
    )?;
    initramfs::pack(&tree).map_err(access(Path::new("initramfs")))
}

fn add_modules(tree: &mut Tree, folder: &str, chosen: &Chosen, origin: &str) -> Result<(), TreeError> {
    for module in chosen.values() {
        tree.add(
            &format!("{folder}/{}", module.path),
            Node::text(module.data.clone()),
            origin,
        )?;
    }
    tree.add(
        &format!("{folder}/modules.dep"),
        Node::text(modules::modules_dep(chosen)),
        "the build",
    )?;
    tree.add(
        &format!("{folder}/modules.alias"),
        Node::text(modules::modules_alias(chosen)),
        "the build",
    )
}

fn device_trees(
    request: &Request<'_>,
    package: &str,
    kernel: &Kernel<'_>,
) -> Result<Vec<Content>, BuildError> {
    let trees = &request.selection.board.device_trees;
    let mut parts = Vec::new();
    for pattern in &trees.files {
        let mut found = false;
        for (path, data) in kernel.device_trees().filter(|(path, _)| pattern.matches(path)) {
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            parts.push(Content {
                kind: PartKind::DeviceTree,
                name,
                data: data.to_vec(),
            });
            found = true;
        }
        if !found {
            return Err(no_tree(package, pattern).into());
        }
    }
    match &trees.default {
        Some(name) if !parts.iter().any(|part| part.name == *name) => {
            Err(BuildError::NoDeviceTree { name: name.clone() })
        }
        _ => Ok(parts),
    }
}

fn no_tree(package: &str, pattern: &board::Pattern) -> SelectError {
    SelectError::NoFile {
        package: package.to_owned(),
        pattern: pattern.as_str().to_owned(),
        near: None,
    }
}

fn esp(
    request: &Request<'_>,
    inputs: &Inputs,
    kernel: &Kernel<'_>,
    loader: Vec<u8>,
) -> Result<Esp, BuildError> {
    let board = &request.selection.board;
    let mut tree = Tree::default();
    tree.add(
        &format!("EFI/BOOT/{}", board.arch.efi_default()),
        Node::text(loader),
        "the loader",
    )?;
    for package in &board.esp.packages {
        select::take(&mut tree, package, &inputs.packages[package.name.as_str()])?;
    }
    for pattern in &board.esp.device_trees {
        let mut found = kernel
            .device_trees()
            .filter(|(path, _)| pattern.matches(path))
            .peekable();
        if found.peek().is_none() {
            return Err(no_tree(&inputs.kernel, pattern).into());
        }
        for (path, data) in found {
            tree.add(
                path.rsplit('/').next().unwrap_or(path),
                Node::text(data),
                &inputs.kernel,
            )?;
        }
    }
    select::own_files(&mut tree, &board.esp.files)?;
    let spec = disk_spec(request);
    let partition = Layout::for_medium(&spec, Layout::least(&spec)?)?.extent(layout::Name::Esp);
    esp::make(&tree, partition.len).map_err(access(Path::new("ESP")))
}

fn boot_code(request: &Request<'_>, inputs: &Inputs) -> Result<Option<Vec<u8>>, BuildError> {
    let Some(code) = &request.selection.board.boot_code else {
        return Ok(None);
    };
    let package = code.package.as_str();
    let found = select::matching(package, &inputs.packages[package], &code.file)?;
    match found.first() {
        Some((_, Node::File { data, .. })) => {
            let mut data = data.clone();
            data.resize(data.len().next_multiple_of(bundle::FRAME_ALIGN as usize), 0);
            Ok(Some(data))
        }
        _ => Err(no_tree(package, &code.file).into()),
    }
}

fn disk_spec(request: &Request<'_>) -> DiskSpec {
    let disk = &request.selection.board.disk;
    DiskSpec {
        slot_size: disk.slot_size.0,
        first_partition: disk.first_partition.0,
    }
}

fn write(
    request: &Request<'_>,
    path: &Path,
    slot: &Slot,
    esp: &Esp,
    boot_code: Option<&[u8]>,
    locked: bool,
) -> Result<Manifest, BuildError> {
    let board = &request.selection.board;
    fs::create_dir_all(request.out).map_err(access(request.out))?;
    let mut writer = Writer::new(tempfile::tempfile_in(request.out).map_err(access(request.out))?);
    // Each part starts a frame of its own, so that a part that did not change packs to the same frames.
    for (part, content) in slot.image.parts.iter().zip(&slot.parts) {
        let padded = slot::padding(content.data.len());
        writer.add(
            ImageName::Slot,
            part.offset,
            &mut io::Read::chain(content.data.as_slice(), padded.as_slice()),
        )?;
    }
    writer.add(
        ImageName::Slot,
        slot.image.verity.tree_offset,
        &mut slot.tree.as_slice(),
    )?;
    for range in &esp.used {
        let piece = &esp.image[range.start as usize..range.end as usize];
        writer.add(ImageName::Esp, range.start, &mut Cursor::new(piece))?;
    }
    if let Some(mut code) = boot_code {
        writer.add(ImageName::Bootcode, 0, &mut code)?;
    }
    let sealed = writer.seal();
    let image = |name, offset, size| Image {
        name,
        offset,
        size,
        sha256: sealed.sha256(name),
    };
    let mut images = vec![
        image(ImageName::Slot, None, slot.image.size),
        image(ImageName::Esp, None, esp.image.len() as u64),
    ];
    if let (Some(data), Some(code)) = (boot_code, &board.boot_code) {
        images.push(image(ImageName::Bootcode, Some(code.offset.0), data.len() as u64));
    }
    let arguments: Vec<&str> = request
        .selection
        .features
        .kernel_arguments
        .iter()
        .map(|argument| argument.as_str())
        .collect();
    let manifest = Manifest {
        format: 1,
        board: board.name.to_string(),
        arch: match board.arch {
            Arch::Arm64 => manifest::Arch::Arm64,
            Arch::Amd64 => manifest::Arch::Amd64,
        },
        version: request.version,
        created: request.created,
        overlays: request
            .selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.to_string())
            .collect(),
        locked,
        cmdline: arguments.join(" "),
        slot: slot.image.clone(),
        disk: Disk {
            slot_size: board.disk.slot_size.0,
            first_partition: board.disk.first_partition.0,
            hybrid_mbr: board.disk.hybrid_mbr,
        },
        images,
        index: sealed.index(),
        device_trees: board.device_trees.default.clone().map(|default| DeviceTrees {
            default,
            prefer: match board.device_trees.prefer {
                Prefer::Firmware => DeviceTreePreference::Firmware,
                Prefer::Slot => DeviceTreePreference::Manifest,
            },
        }),
    };
    let json = manifest.to_json()?;
    let comment = format!("bedplate {} {}", board.name, request.version);
    let signatures: Vec<String> = request.keys.iter().map(|key| key.sign(&json, &comment)).collect();
    // Under another name until it is whole: a half-written bundle never looks like one.
    let partial = path.with_extension("bundle.partial");
    let mut file = BufWriter::new(fs::File::create(&partial).map_err(access(&partial))?);
    sealed.write(&mut file, &json, signatures.concat().as_bytes())?;
    fs::rename(&partial, path).map_err(access(path))?;
    let json_path = request.out.join(format!("{}.manifest.json", request.stem()));
    fs::write(&json_path, &json).map_err(access(&json_path))?;
    for (number, signature) in signatures.iter().enumerate() {
        let ending = if number == 0 {
            "minisig".to_owned()
        } else {
            format!("minisig.{number}")
        };
        let path = request
            .out
            .join(format!("{}.manifest.json.{ending}", request.stem()));
        fs::write(&path, signature).map_err(access(&path))?;
    }
    Ok(manifest)
}

/// Opens the finished bundle as its readers will, and sums up its frames by part.
fn measure(path: &Path, keys: &[TrustedKey]) -> Result<(u64, Vec<PartSize>), BuildError> {
    let file = fs::File::open(path).map_err(access(path))?;
    let size = file.metadata().map_err(access(path))?.len();
    let reader = bundle::Reader::open(file, keys)?;
    let manifest: &Manifest = reader.manifest();
    let packed = |image, start: u64, end: u64| -> u64 {
        let frames = reader.index().of(image).iter();
        frames
            .filter(|frame| (start..end).contains(&frame.raw_offset))
            .map(|frame| u64::from(frame.stored_len))
            .sum()
    };
    let raw = |image| {
        reader
            .index()
            .of(image)
            .iter()
            .map(|frame| u64::from(frame.raw_len))
            .sum()
    };
    let mut parts = Vec::new();
    for part in &manifest.slot.parts {
        let packed = packed(ImageName::Slot, part.offset, part.offset + part.size);
        parts.push(PartSize {
            name: part.name.clone(),
            raw: part.size,
            packed,
        });
    }
    let verity = &manifest.slot.verity;
    let tree = packed(ImageName::Slot, verity.tree_offset, u64::MAX);
    parts.push(PartSize {
        name: "hash tree".into(),
        raw: verity.tree_size,
        packed: tree,
    });
    for (image, name) in [(ImageName::Esp, "ESP"), (ImageName::Bootcode, "boot code")] {
        if manifest.image(image).is_some() {
            parts.push(PartSize {
                name: name.into(),
                raw: raw(image),
                packed: packed(image, 0, u64::MAX),
            });
        }
    }
    Ok((size, parts))
}

fn access(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Access { path, source }
}
