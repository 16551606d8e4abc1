//! The whole way from a board and its overlays to a signed bundle.

use std::path::PathBuf;

use manifest::{Manifest, PartKind};

use crate::contents;
use crate::disk_image::{self, DiskImage};
use crate::erofs::Tool;
use crate::error::{BuildError, access};
use crate::inputs;
use crate::loader;
use crate::packages::fetch::Fetcher;
use crate::parts;
use crate::patches::Older;
use crate::publish::{self, Contents};
use crate::release;
use crate::report::{PartSize, PatchSize, Progress};
use crate::request::Request;
use crate::slot::{self, Content};

/// The result of a build.
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
    /// The disk images that were requested.
    pub disk_images: Vec<DiskImage>,
}

/// Builds a bundle.
pub fn build(request: &Request<'_>, fetcher: &mut Fetcher, progress: &Progress) -> Result<Built, BuildError> {
    let board = &request.selection.board;
    // What is quick to check comes first: a missing file should not be reported after a long download.
    let machined = request.binary("machined")?;
    let loader = request.binary("bootloader.efi")?;
    let crates = request.crates()?;
    let trusted = request.trusted();
    let mut older = Older::open_all(request.patch_from, &trusted, &board.name.to_string())?;
    progress.step("getting packages");
    let inputs = inputs::get(request.selection, fetcher)?;
    let (tool, tools) = Tool::get(fetcher, request.cache)?;

    progress.step("choosing files and modules");
    let loader = loader::with_keys(&loader, &trusted)?;
    let own = parts::make(request.selection, &inputs, loader)?;
    let (kernel, version) = (&own.kernel, request.version.to_string());
    let release = release::facts(
        request.selection,
        &version,
        kernel,
        request.kubernetes,
        &inputs.fetched,
    )
    .to_yaml();
    let root = contents::root(request, &inputs, &machined, &release, &own)?;
    let initramfs = contents::initramfs(&machined, &release, kernel, &own.early)?;

    progress.step("making the root file system");
    let scratch = tempfile::tempdir().map_err(access(request.out))?;
    let erofs = tool.make(&root, scratch.path(), request.created)?;

    progress.step("hashing the slot");
    let mut parts = vec![
        Content {
            kind: PartKind::Kernel,
            name: "vmlinuz".into(),
            data: own.image.to_vec(),
        },
        Content {
            kind: PartKind::Initramfs,
            name: "initramfs.cpio".into(),
            data: initramfs,
        },
    ];
    parts.extend(own.device_trees);
    parts.push(Content {
        kind: PartKind::Root,
        name: "root.erofs".into(),
        data: erofs,
    });
    let slot = slot::assemble(parts, board.disk.slot_size.0)?;

    progress.step("compressing and signing");
    let locked = fetcher.notes().is_empty()
        && request
            .kubernetes
            .is_none_or(|programs| programs.notes.is_empty());
    let contents = Contents {
        slot: &slot,
        esp: &own.esp,
        boot_code: own.boot_code.as_deref(),
        locked,
    };
    let (bundle, id) = publish::write(request, &contents, &mut older, progress)?;
    let used = contents::used(request, &inputs, &root);
    let sbom = publish::sbom(request, &id, &used, &tools, &crates)?;

    progress.step("verifying the bundle");
    let measured = publish::measure(&bundle, &trusted)?;
    let disk_images = match request.disk_images {
        [] => Vec::new(),
        formats => {
            progress.step("writing disk images");
            disk_image::make(&bundle, &trusted, formats)?
        }
    };
    Ok(Built {
        bundle,
        manifest: measured.manifest,
        size: measured.size,
        parts: measured.parts,
        patches: measured.patches,
        sbom,
        disk_images,
    })
}
