//! Puts together what goes into the parts of an image: root, initramfs, device trees, ESP, boot code.

use std::collections::BTreeSet;
use std::path::Path;

use board::Pattern;
use layout::{DiskSpec, Layout};
use manifest::PartKind;

use crate::device_trees::Overlays;
use crate::error::{BuildError, access};
use crate::esp::{self, Esp};
use crate::inputs::Inputs;
use crate::modules::{self, Chosen, Kernel};
use crate::packages::fetched::Fetched;
use crate::request::Request;
use crate::select::{self, SelectError};
use crate::slot::Content;
use crate::tree::{Node, Tree, TreeError};
use crate::{firmware_config, initramfs, oci};

pub(crate) fn root(
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
    tree.add(release_file::PATH, Node::text(release), "the build")?;
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
        inputs.kernel.origin(),
    )?;
    Ok(tree)
}

pub(crate) fn initramfs(
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
    tree.add(release_file::EARLY_PATH, Node::text(release), "the build")?;
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

/// Lists the packages that something in the image comes from: some only stood by to lend libraries.
pub(crate) fn used(request: &Request<'_>, inputs: &Inputs, root: &Tree) -> Vec<Fetched> {
    let board = &request.selection.board;
    let mut names: BTreeSet<&str> = root.origins().map(|(_, _, origin)| origin).collect();
    names.extend(inputs.kernel.packages.iter().map(String::as_str));
    names.extend(board.esp.packages.iter().map(|package| package.name.as_str()));
    names.extend(board.boot_code.iter().map(|code| code.package.as_str()));
    inputs
        .fetched
        .iter()
        .filter(|package| names.contains(package.name.as_str()))
        .cloned()
        .collect()
}

/// Takes the board's device trees out of the kernel package, for the slot.
pub(crate) fn device_trees(
    request: &Request<'_>,
    inputs: &Inputs,
    kernel: &Kernel<'_>,
    overlays: &Overlays,
) -> Result<Vec<Content>, BuildError> {
    let board = &request.selection.board;
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

pub(crate) fn esp(
    request: &Request<'_>,
    inputs: &Inputs,
    kernel: &Kernel<'_>,
    overlays: &Overlays,
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
    for (name, data) in trees(&board.esp.device_trees, &inputs.kernel.names(), kernel, overlays)? {
        tree.add(&name, Node::text(data), inputs.kernel.origin())?;
    }
    select::own_files(&mut tree, &board.esp.files)?;
    if let Some(config) = &board.esp.firmware_config {
        firmware_config::add(&mut tree, config, &request.selection.features, overlays)?;
    }
    let spec = disk_spec(request);
    let partition = Layout::for_medium(&spec, Layout::least(&spec)?)?.extent(layout::Name::Esp);
    esp::make(&tree, partition.len).map_err(access(Path::new("ESP")))
}

pub(crate) fn boot_code(request: &Request<'_>, inputs: &Inputs) -> Result<Option<Vec<u8>>, BuildError> {
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

pub(crate) fn disk_spec(request: &Request<'_>) -> DiskSpec {
    let disk = &request.selection.board.disk;
    DiskSpec {
        slot_size: disk.slot_size.0,
        first_partition: disk.first_partition.0,
    }
}
