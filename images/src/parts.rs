//! The parts of an image that are the board's own: kernel, modules, device trees, ESP, boot code.

use std::path::Path;

use board::{Board, Pattern, Selection};
use layout::{DiskSpec, Layout};
use manifest::PartKind;

use crate::device_trees::Overlays;
use crate::error::{BuildError, access};
use crate::esp::{self, Esp};
use crate::firmware_config;
use crate::inputs::Inputs;
use crate::modules::{self, Chosen, Kernel, ModuleError};
use crate::select::{self, SelectError};
use crate::shipped_firmware;
use crate::slot::Content;
use crate::tree::{Node, Tree};

/// The parts of an image that are the board's own.
pub struct BoardParts<'a> {
    /// The kernel package, looked through.
    pub kernel: Kernel<'a>,
    /// The kernel itself.
    pub image: &'a [u8],
    /// Modules that are loaded in the initramfs.
    pub early: Chosen,
    /// All modules.
    pub modules: Chosen,
    /// Device trees that travel in the slot.
    pub device_trees: Vec<Content>,
    /// The EFI system partition.
    pub esp: Esp,
    /// Its files and their list, for the root file system.
    pub firmware: Tree,
    /// Boot code that is written to the raw medium.
    pub boot_code: Option<Vec<u8>>,
}

/// Takes a board's parts out of its packages.
///
/// # Errors
/// Fails when a package does not have what the board names.
pub fn make<'a>(
    selection: &Selection,
    inputs: &'a Inputs,
    loader: Vec<u8>,
) -> Result<BoardParts<'a>, BuildError> {
    let board = &selection.board;
    let kernel = Kernel::open(&inputs.kernel.names(), &inputs.kernel.files)?;
    let image = kernel.image().ok_or_else(|| ModuleError::NoKernel {
        package: inputs.kernel.names(),
        what: "kernel",
    })?;
    let wanted = &selection.modules;
    let mut early = Chosen::new();
    kernel.choose(&wanted.early, &mut early)?;
    let mut modules = early.clone();
    kernel.choose(&wanted.autoload, &mut modules)?;
    kernel.choose(&wanted.available, &mut modules)?;
    modules::check_signatures(&selection.features.kernel_arguments, &modules)?;
    let overlays = Overlays::read(&selection.features.device_tree_overlays, &inputs.packages)?;
    let device_trees = device_trees(board, inputs, &kernel, &overlays)?;
    let files = esp_files(selection, inputs, &kernel, &overlays, loader)?;
    Ok(BoardParts {
        device_trees,
        esp: esp(board, &files)?,
        firmware: shipped_firmware::make(&files, board)?,
        boot_code: boot_code(board, inputs)?,
        kernel,
        image,
        early,
        modules,
    })
}

/// Takes the board's device trees out of the kernel package, for the slot.
fn device_trees(
    board: &Board,
    inputs: &Inputs,
    kernel: &Kernel<'_>,
    overlays: &Overlays,
) -> Result<Vec<Content>, BuildError> {
    let package = &inputs.kernel.names();
    let trees = trees(&board.device_trees.files, package, kernel, overlays)?;
    let esp = self::trees(&board.esp.device_trees, package, kernel, overlays)?;
    let known: Vec<&str> = trees.iter().chain(&esp).map(|(name, _)| name.as_str()).collect();
    let default = board.device_trees.default.as_deref();
    if let Some(name) = default.filter(|name| !trees.iter().any(|(known, _)| known == name)) {
        return Err(BuildError::NoDeviceTree {
            what: "the board's deviceTrees.default",
            name: name.to_owned(),
        });
    }
    if let Some(name) = overlays.strangers(&known).next() {
        return Err(BuildError::NoDeviceTree {
            what: "a device-tree overlay's tree",
            name: name.to_owned(),
        });
    }
    let content = |(name, data)| Content {
        kind: PartKind::DeviceTree,
        name,
        data,
    };
    Ok(trees.into_iter().map(content).collect())
}

/// Finds device trees by patterns, with the overlays applied, by file name.
fn trees(
    patterns: &[Pattern],
    package: &str,
    kernel: &Kernel<'_>,
    overlays: &Overlays,
) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
    let mut found = Vec::new();
    for pattern in patterns {
        let before = found.len();
        for (path, data) in kernel.device_trees().filter(|(path, _)| pattern.matches(path)) {
            let name = path.rsplit('/').next().unwrap_or(path);
            found.push((name.to_owned(), overlays.apply(name, data)?));
        }
        if found.len() == before {
            return Err(no_tree(package, pattern).into());
        }
    }
    Ok(found)
}

fn no_tree(package: &str, pattern: &Pattern) -> SelectError {
    SelectError::NoFile {
        package: package.to_owned(),
        pattern: pattern.as_str().to_owned(),
        near: None,
    }
}

/// Gathers the files of the EFI system partition: the loader, and those that the board asks for.
fn esp_files(
    selection: &Selection,
    inputs: &Inputs,
    kernel: &Kernel<'_>,
    overlays: &Overlays,
    loader: Vec<u8>,
) -> Result<Tree, BuildError> {
    let board = &selection.board;
    let mut tree = Tree::default();
    tree.add(
        &format!("EFI/BOOT/{}", board.arch.efi_default()),
        Node::text(loader),
        "the loader",
    )?;
    for package in &board.esp.packages {
        select::take(&mut tree, package, &inputs.packages[package.name.as_str()])?;
    }
    for (name, data) in trees(&board.esp.device_trees, &inputs.kernel.names(), kernel, overlays)? {
        tree.add(&name, Node::text(data), inputs.kernel.origin())?;
    }
    select::own_files(&mut tree, &board.esp.files)?;
    if let Some(config) = &board.esp.firmware_config {
        firmware_config::add(&mut tree, config, &selection.features, overlays)?;
    }
    if let Some(settings) = shipped_firmware::settings(board) {
        tree.add(
            firmware_files::SETTINGS,
            Node::text(settings.to_yaml()),
            "the build",
        )?;
    }
    Ok(tree)
}

/// Makes the EFI system partition.
fn esp(board: &Board, files: &Tree) -> Result<Esp, BuildError> {
    let spec = DiskSpec {
        slot_size: board.disk.slot_size.0,
        first_partition: board.disk.first_partition.0,
    };
    let partition = Layout::for_medium(&spec, Layout::least(&spec)?)?.extent(layout::Name::Esp);
    esp::make(files, partition.len).map_err(access(Path::new("ESP")))
}

/// Takes the vendor's boot code out of its package, filled up to whole blocks.
fn boot_code(board: &Board, inputs: &Inputs) -> Result<Option<Vec<u8>>, BuildError> {
    let Some(code) = &board.boot_code else {
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
