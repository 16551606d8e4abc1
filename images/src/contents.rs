//! Puts together what goes into root and initramfs.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{BuildError, access};
use crate::inputs::Inputs;
use crate::modules::{self, Chosen, Kernel};
use crate::packages::fetched::Fetched;
use crate::parts::BoardParts;
use crate::release::os_release;
use crate::request::Request;
use crate::select::{self, Packages};
use crate::tree::{Node, Tree, TreeError};
use crate::{containers, initramfs, kubernetes, oci};

pub(crate) fn root(
    request: &Request<'_>,
    inputs: &Inputs,
    machined: &[u8],
    release: &str,
    own: &BoardParts<'_>,
) -> Result<Tree, BuildError> {
    let mut tree = root_without_kernel(request, &inputs.packages, machined, release)?;
    add_modules(
        &mut tree,
        &format!("usr/lib/modules/{}", own.kernel.version()),
        &own.modules,
        inputs.kernel.origin(),
    )?;
    for (path, node, origin) in own.firmware.origins() {
        tree.add(path, node.clone(), origin)?;
    }
    Ok(tree)
}

/// Puts the root together but for what belongs to a kernel.
pub(crate) fn root_without_kernel(
    request: &Request<'_>,
    packages: &Packages,
    machined: &[u8],
    release: &str,
) -> Result<Tree, BuildError> {
    let features = &request.selection.features;
    let mut tree = select::root(features, packages, request.arch())?;
    tree.add("usr/bin/machined", Node::program(machined), "machined")?;
    tree.add(release_file::PATH, Node::text(release), "the build")?;
    let board = request.selection.board.name.to_string();
    let system = os_release(&request.version.to_string(), &board);
    tree.add("usr/lib/os-release", Node::text(system), "the build")?;
    for image in &features.container_images {
        let program = request.binary(image.program.as_str())?;
        let archive = oci::archive(&image.reference, request.arch(), image.program.as_str(), &program)
            .map_err(access(request.binaries))?;
        tree.add(
            &format!("{}/{}.tar", containers::FOLDER, image.program),
            Node::text(archive),
            "the build",
        )?;
    }
    containers::add(&mut tree, request.containers)?;
    if let Some(programs) = request.kubernetes {
        kubernetes::add(&mut tree, programs)?;
    }
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
