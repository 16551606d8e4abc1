//! Writes what is published: the bundle, its manifest with the signature, the list of what is in it.

use std::fs;
use std::io::{BufWriter, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use board::{Arch, Prefer};
use bundle::{EXTENT, Frame, ImageName, Sealed, Writer};
use manifest::{DeviceTreePreference, DeviceTrees, Digest, Disk, Image, Manifest, TrustedKey};

use crate::error::{BuildError, access};
use crate::esp::Esp;
use crate::frames::Frames;
use crate::packages::fetched::Fetched;
use crate::patches::{self, Older};
use crate::report::{PartSize, PatchSize, Progress};
use crate::request::Request;
use crate::sbom;
use crate::slot::{self, Slot};

/// The content of a bundle.
pub struct Contents<'a> {
    /// The slot.
    pub slot: &'a Slot,
    /// The EFI system partition.
    pub esp: &'a Esp,
    /// Boot code that is written to the raw medium.
    pub boot_code: Option<&'a [u8]>,
    /// Set when every package was the locked one.
    pub locked: bool,
}

/// The measures of a finished bundle.
pub(crate) struct Measured {
    pub manifest: Manifest,
    pub size: u64,
    pub parts: Vec<PartSize>,
    pub patches: Vec<PatchSize>,
}

/// Writes the bundle, and beside it the manifest with its signatures, for minisign. Returns its path and the hash of the
/// manifest.
pub fn write(
    request: &Request<'_>,
    contents: &Contents<'_>,
    older: &mut [Older],
    progress: &Progress,
) -> Result<(PathBuf, Digest), BuildError> {
    let result = |ending: &str| request.out.join(format!("{}.{ending}", request.stem()));
    let cache = request.cache.join("frames");
    let memory = Frames::open(&cache).map_err(access(&cache))?;
    let mut sealed = pack(request, contents, memory.clone())?;
    for older in older {
        progress.step(&format!("making patches from {}", older.version()));
        patch(contents.slot, older, &mut sealed, &memory)?;
    }
    let manifest = describe(request, contents, &sealed);
    let json = manifest.to_json()?;
    let comment = format!("bedplate {} {}", manifest.board, manifest.version);
    let signatures: Vec<String> = request
        .keys
        .iter()
        .map(|key| key.sign("manifest", &json, &comment))
        .collect();

    // Under another name until it is whole: a half-written bundle never looks like one.
    let (path, partial) = (result("bundle"), result("bundle.partial"));
    let mut file = BufWriter::new(fs::File::create(&partial).map_err(access(&partial))?);
    sealed.write(&mut file, &json, signatures.concat().as_bytes())?;
    fs::rename(&partial, &path).map_err(access(&path))?;

    let beside = result("manifest.json");
    fs::write(&beside, &json).map_err(access(&beside))?;
    for (number, signature) in signatures.iter().enumerate() {
        // minisign reads one signature from a file.
        let ending = if number == 0 {
            "minisig".to_owned()
        } else {
            format!("minisig.{number}")
        };
        let beside = result(&format!("manifest.json.{ending}"));
        fs::write(&beside, signature).map_err(access(&beside))?;
    }
    Ok((path, Digest::of(&json)))
}

/// Writes the list of what is in the image.
pub(crate) fn sbom(
    request: &Request<'_>,
    manifest: &Digest,
    packages: &[Fetched],
    tools: &[Fetched],
    crates: &sbom::Crates,
) -> Result<PathBuf, BuildError> {
    let stem = request.stem();
    let path = request.out.join(format!("{stem}.spdx.json"));
    let subject = sbom::Subject {
        stem: &stem,
        version: &request.version.to_string(),
        manifest: &manifest.to_string(),
        created: request.created,
        packages,
        tools,
        crates,
        kubernetes: request.kubernetes,
        containers: request.containers,
    };
    fs::write(&path, sbom::spdx(&subject)).map_err(access(&path))?;
    Ok(path)
}

/// Opens a finished bundle as its readers will, and sums up its frames by part.
pub(crate) fn measure(path: &Path, keys: &[TrustedKey]) -> Result<Measured, BuildError> {
    let file = fs::File::open(path).map_err(access(path))?;
    let size = file.metadata().map_err(access(path))?.len();
    let mut reader = bundle::Reader::open(file, keys)?;
    let manifest: Manifest = (**reader.manifest()).clone();
    let patches = measure_patches(&mut reader, &manifest)?;
    let sum = |image, range: std::ops::Range<u64>| {
        let frames = reader.index().of(image).iter();
        let frames = frames.filter(|frame| range.contains(&frame.raw_offset));
        frames.fold((0, 0), |(raw, packed), frame| {
            (
                raw + u64::from(frame.raw_len),
                packed + u64::from(frame.stored_len),
            )
        })
    };
    let mut parts = Vec::new();
    for part in &manifest.slot.parts {
        let (_, packed) = sum(ImageName::SLOT, part.offset..part.offset + part.size);
        parts.push(PartSize {
            name: part.name.clone(),
            raw: part.size,
            packed,
        });
    }
    let tree = manifest.slot.verity.tree_offset..u64::MAX;
    for image in &manifest.images {
        let (name, range) = match image.name {
            ImageName::SLOT => ("hash tree", tree.clone()),
            ImageName::ESP => ("ESP", 0..u64::MAX),
            ImageName::BOOTCODE => ("boot code", 0..u64::MAX),
            ref other => (other.as_str(), 0..u64::MAX),
        };
        let (raw, packed) = sum(image.name, range);
        parts.push(PartSize {
            name: name.into(),
            raw,
            packed,
        });
    }
    Ok(Measured {
        manifest,
        size,
        parts,
        patches,
    })
}

/// Sums up what an upgrade fetches by each patch set, and without.
fn measure_patches(
    reader: &mut bundle::Reader<fs::File>,
    manifest: &Manifest,
) -> Result<Vec<PatchSize>, BuildError> {
    let tree = manifest.slot.verity.tree_offset;
    let before = reader.index().frames_start();
    let frames = reader.index().of(ImageName::SLOT).to_vec();
    let stored = |taken: &dyn Fn(&Frame) -> bool| -> u64 {
        let frames = frames.iter().filter(|frame| taken(frame));
        frames.map(|frame| u64::from(frame.stored_len)).sum()
    };
    let top = stored(&|frame| frame.raw_offset == tree);
    let mut sizes = Vec::new();
    for set in &manifest.patches {
        let patches = reader.patches(set)?;
        let unpatched = stored(&|frame| {
            let extents = frame.raw_offset / EXTENT..frame.raw_end().div_ceil(EXTENT);
            frame.raw_offset < tree
                && extents
                    .into_iter()
                    .any(|extent| patches.at(extent * EXTENT).is_none())
        });
        sizes.push(PatchSize {
            from: set.version.to_string(),
            patched: before + top + set.index_size + set.size + unpatched,
            full: before + stored(&|_| true),
        });
    }
    Ok(sizes)
}

fn pack(
    request: &Request<'_>,
    contents: &Contents<'_>,
    memory: Frames,
) -> Result<Sealed<fs::File>, BuildError> {
    fs::create_dir_all(request.out).map_err(access(request.out))?;
    let slot = contents.slot;
    let scratch = tempfile::tempfile_in(request.out).map_err(access(request.out))?;
    let mut writer = Writer::new(scratch).cache(Box::new(memory));
    // Each part starts a frame of its own, so that a part that did not change packs to the same frames.
    for (part, content) in slot.image.parts.iter().zip(&slot.parts) {
        let padding = slot::padding(content.data.len());
        writer.add(
            ImageName::SLOT,
            part.offset,
            &mut content.data.as_slice().chain(padding.as_slice()),
        )?;
    }
    // An upgrade fetches the top of the tree first, and of the tree, with patches, nothing else.
    let tree_offset = slot.image.verity.tree_offset;
    let (mut upper, mut leaves) = slot.tree.split_at(slot.upper_tree);
    writer.add_in_front(ImageName::SLOT, tree_offset, &mut upper)?;
    writer.add(ImageName::SLOT, tree_offset + slot.upper_tree as u64, &mut leaves)?;
    for range in &contents.esp.used {
        let piece = &contents.esp.image[range.start as usize..range.end as usize];
        writer.add(ImageName::ESP, range.start, &mut Cursor::new(piece))?;
    }
    if let Some(mut code) = contents.boot_code {
        writer.add(ImageName::BOOTCODE, 0, &mut code)?;
    }
    Ok(writer.seal())
}

/// Adds the patches from an older release.
fn patch(
    slot: &Slot,
    older: &mut Older,
    sealed: &mut Sealed<fs::File>,
    memory: &Frames,
) -> Result<(), BuildError> {
    let (from, root_hash) = (older.version(), older.root_hash());
    if root_hash == slot.image.verity.root_hash {
        return Err(older.twin_of("this release".into()).into());
    }
    let data = older.data()?;
    let fault = |source| BuildError::Patches { from, source };
    let patches = patches::make(&data, slot, sealed.frames(), Some(memory)).map_err(fault)?;
    sealed.add_patches(root_hash, from, &patches).map_err(fault)
}

fn describe<S: Read + Write + Seek>(
    request: &Request<'_>,
    contents: &Contents<'_>,
    sealed: &Sealed<S>,
) -> Manifest {
    let selection = request.selection;
    let board = &selection.board;
    let image = |name, offset, size| Image {
        name,
        offset,
        size,
        sha256: sealed.sha256(name),
    };
    let mut images = vec![
        image(ImageName::SLOT, None, contents.slot.image.size),
        image(ImageName::ESP, None, contents.esp.image.len() as u64),
    ];
    if let (Some(data), Some(code)) = (contents.boot_code, &board.boot_code) {
        images.push(image(ImageName::BOOTCODE, Some(code.offset.0), data.len() as u64));
    }
    let arguments: Vec<&str> = selection
        .features
        .kernel_arguments
        .iter()
        .map(|argument| argument.as_str())
        .collect();
    Manifest {
        format: 1,
        board: board.name.to_string(),
        arch: match board.arch {
            Arch::Arm64 => manifest::Arch::Arm64,
            Arch::Amd64 => manifest::Arch::Amd64,
        },
        version: request.version,
        created: request.created,
        overlays: selection
            .overlays
            .iter()
            .map(|overlay| overlay.name.to_string())
            .collect(),
        locked: contents.locked,
        cmdline: arguments.join(" "),
        slot: contents.slot.image.clone(),
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
        keys: request.trusted(),
        floor: request.floor,
        patches: sealed.patches(),
    }
}
