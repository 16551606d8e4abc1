//! Decides what is written where. Pure.

use bundle::{Codec, Frame, ImageName, Reader};
use layout::{DiskSpec, Extent, Guids, Images, Layout, LayoutError, Name, TABLE_HEAD, Table, TableError};
use manifest::trailer::{self, TrailerError};
use manifest::{Image, Manifest, VerifiedManifest};
use serde::Serialize;
use slots::{COPY_OFFSETS, Record};

use crate::config::Injected;
use crate::firmware::ChangedEsp;
pub use crate::piece::{Content, Piece, What};

const MIB: u64 = 1024 * 1024;

/// The facts of a bundle. A value of this type proves that the bundle's signature and index are valid.
#[derive(Debug, Clone)]
pub struct BundleFacts {
    manifest: VerifiedManifest,
    json: Vec<u8>,
    signatures: Vec<u8>,
    frames: Vec<Frame>,
    bytes: u64,
    /// The ESP, where it is not that of the frames.
    pub(crate) esp: Option<ChangedEsp>,
}

impl BundleFacts {
    /// Takes the facts from an open bundle.
    pub fn of<R: std::io::Read + std::io::Seek>(bundle: &Reader<R>) -> Self {
        Self {
            manifest: bundle.manifest().clone(),
            json: bundle.manifest_json().to_vec(),
            signatures: bundle.signatures().to_vec(),
            frames: bundle.index().frames().to_vec(),
            bytes: bundle.index().file_len(),
            esp: None,
        }
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &VerifiedManifest {
        &self.manifest
    }

    /// Returns the smallest medium that this bundle fits on.
    pub fn least(&self) -> Result<u64, LayoutError> {
        Layout::least(&spec(&self.manifest))
    }
}

/// The user's choices.
#[derive(Debug, Clone)]
pub struct Options {
    /// The GUIDs of disk and partitions: random for a disk, fixed for a reproducible image.
    pub guids: Guids,
    /// The machine config to inject; without one the node waits in maintenance mode.
    pub config: Option<Injected>,
    /// Set when everything else on the disk may be discarded.
    pub discard: bool,
}

/// Every byte that is to be written, in order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The release.
    pub release: Release,
    /// The size of the medium that this plan is for.
    pub medium: u64,
    /// The partition table, which is written last: before it is there, nothing boots.
    pub table: Table,
    /// Ranges that are discarded first.
    pub discard: Vec<Extent>,
    /// The content between the two copies of the partition table, by offset, without overlaps.
    pub pieces: Vec<Piece>,
    /// The manifest at the end of slot A, which is written after all pieces have been read back.
    pub trailer: Piece,
    /// The machine config again, to compare with what is read back.
    pub config: Option<Injected>,
    pub(crate) manifest: Manifest,
    pub(crate) images: Images,
}

/// The release that is flashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The board it is for.
    pub board: String,
    /// The architecture.
    pub arch: String,
    /// Its version.
    pub version: String,
    /// Set when it was built from exactly the locked packages.
    pub locked: bool,
    /// The hash of its manifest.
    pub manifest: String,
    /// The key that signed it.
    pub key: String,
    /// The size of the bundle in bytes.
    pub bundle_bytes: u64,
}

/// Why a bundle cannot be flashed to a medium.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The medium is too small, or the board's disk is impossible.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The bundle is for upgrades only.
    #[error("the bundle holds no ESP: it can upgrade a node, but not flash one")]
    NoEsp,
    /// An image does not fit in its place.
    #[error(
        "image {image} of {len} bytes does not fit at byte {start}: the bundle is faulty, build it again"
    )]
    Misfit {
        /// The image.
        image: ImageName,
        /// Its start.
        start: u64,
        /// Its length.
        len: u64,
    },
    /// An image has no known place.
    #[error(
        "the bundle has an image {image}, and nobody here knows where on a disk it goes: use the flash tool of its release"
    )]
    UnknownImage {
        /// The image.
        image: ImageName,
    },
    /// The manifest is too long for its place.
    #[error("the manifest does not fit behind the slot")]
    Trailer(#[from] TrailerError),
    /// The partition table cannot be made.
    #[error("cannot make the partition table")]
    Table(#[from] TableError),
}

/// Plans what is written to a medium of `medium` bytes.
pub fn plan(bundle: &BundleFacts, medium: u64, options: Options) -> Result<Plan, PlanError> {
    let manifest = &bundle.manifest;
    let layout = Layout::for_medium(&spec(manifest), medium)?;
    let table = Table {
        layout,
        guids: options.guids,
        hybrid: manifest.disk.hybrid_mbr,
    };
    let slot_a = layout.extent(Name::SlotA);
    let trailer = Piece {
        what: What::Manifest,
        extent: trailer_of(slot_a),
        content: Content::Bytes(trailer::encode(&bundle.json, &bundle.signatures)?),
    };

    let mut pieces = frames(bundle, &layout)?;
    let config = options.config.as_ref().map(Injected::frame);
    pieces.extend([
        bytes(What::SlotRecord, layout.extent(Name::BootState), slot_record()),
        match config {
            Some(frame) => bytes(What::Config, layout.extent(Name::Config), frame),
            None => zeros(What::Config, layout.extent(Name::Config)),
        },
        zeros(What::EmptySlot, trailer_of(layout.extent(Name::SlotB))),
    ]);
    let fresh = [Name::State, Name::Data].map(|name| layout.extent(name));
    pieces.extend(fresh.map(|extent| {
        zeros(
            What::FirstBoot,
            Extent {
                len: MIB.min(extent.len),
                ..extent
            },
        )
    }));
    let last = layout.extent(Name::Data).end();
    let rest = Extent {
        start: last,
        len: layout.table_tail().start - last,
    };
    pieces.extend(
        unused(&layout, manifest)
            .into_iter()
            .chain([rest])
            .map(|extent| zeros(What::Unused, extent)),
    );
    pieces.retain(|piece| piece.extent.len > 0);
    pieces.sort_by_key(|piece| piece.extent.start);

    let mut plan = Plan {
        release: release(bundle),
        medium,
        images: table.images()?,
        table,
        discard: Vec::new(),
        pieces,
        trailer,
        config: options.config,
        manifest: (**manifest).clone(),
    };
    if options.discard {
        plan.discard = plan.untouched();
    }
    Ok(plan)
}

impl Plan {
    /// Returns the two ends of the medium, where the partition table is.
    pub fn table_extents(&self) -> [Extent; 2] {
        [
            Extent {
                start: 0,
                len: TABLE_HEAD,
            },
            self.table.layout.table_tail(),
        ]
    }

    /// Returns everything that may be written, by offset, with neighbours joined: what a sparse copy of the medium must hold.
    pub fn extents(&self) -> Vec<Extent> {
        let pieces = self.pieces.iter().map(|piece| piece.extent);
        let mut all = pieces
            .chain([self.trailer.extent])
            .chain(self.table_extents())
            .collect::<Vec<_>>();
        all.sort_by_key(|extent| extent.start);
        let mut joined: Vec<Extent> = Vec::new();
        for extent in all {
            match joined.last_mut() {
                Some(last) if last.end() >= extent.start => {
                    last.len = extent.end().max(last.end()) - last.start
                }
                _ => joined.push(extent),
            }
        }
        joined
    }

    /// Returns what is between the extents, in whole blocks.
    ///
    /// Only this may be discarded: what a disk returns for discarded blocks can change from read to read, so that one which
    /// seems to hold the right bytes already might not hold them later.
    fn untouched(&self) -> Vec<Extent> {
        let block = bundle::FRAME_ALIGN;
        let extents = self.extents();
        let gaps = extents.windows(2).map(|pair| {
            let start = pair[0].end().next_multiple_of(block);
            Extent {
                start,
                len: (pair[1].start / block * block).saturating_sub(start),
            }
        });
        gaps.filter(|gap| gap.len > 0).collect()
    }

    /// Returns the number of bytes that are compared, and written if they differ.
    pub fn bytes(&self) -> u64 {
        self.extents().iter().map(|extent| extent.len).sum()
    }

    /// Returns the number of bytes of the pieces alone.
    pub(crate) fn piece_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.extent.len).sum()
    }
}

/// Returns the board's requirements for its disk.
fn spec(manifest: &Manifest) -> DiskSpec {
    DiskSpec {
        slot_size: manifest.disk.slot_size,
        first_partition: manifest.disk.first_partition,
    }
}

/// Places the bundle's frames.
fn frames(bundle: &BundleFacts, layout: &Layout) -> Result<Vec<Piece>, PlanError> {
    let manifest = &bundle.manifest;
    if manifest.image(ImageName::ESP).is_none() {
        return Err(PlanError::NoEsp);
    }
    let mut pieces = Vec::with_capacity(bundle.frames.len() + 8);
    for image in &manifest.images {
        let (what, room) = place(image, layout)?;
        // The table's own bytes are not for boot code, whatever the board file says.
        if image.size > room.len || room.start < TABLE_HEAD {
            return Err(PlanError::Misfit {
                image: image.name,
                start: room.start,
                len: image.size,
            });
        }
        if let (ImageName::ESP, Some(esp)) = (image.name, &bundle.esp) {
            pieces.extend(esp.pieces(what, room.start));
            continue;
        }
        let frames = bundle.frames.iter().filter(|frame| frame.image == image.name);
        pieces.extend(frames.map(|frame| Piece {
            what,
            extent: Extent {
                start: room.start + frame.raw_offset,
                len: u64::from(frame.raw_len),
            },
            content: if frame.codec == Codec::Zero {
                Content::Zeros
            } else {
                Content::Frame(*frame)
            },
        }));
    }
    Ok(pieces)
}

/// Finds an image's place on the disk, and the space there.
fn place(image: &Image, layout: &Layout) -> Result<(What, Extent), PlanError> {
    if let Some(start) = image.offset {
        let end = layout.extent(Name::Esp).start;
        let len = end.saturating_sub(start);
        return Ok((What::BootCode, Extent { start, len }));
    }
    let name = Name::of_image(image.name.as_str()).ok_or(PlanError::UnknownImage { image: image.name })?;
    let extent = layout.extent(name);
    Ok(match name {
        Name::SlotA | Name::SlotB => {
            let len = trailer_of(extent).start - extent.start;
            (What::Slot, Extent { len, ..extent })
        }
        _ => (What::Esp, extent),
    })
}

/// Finds the space before the first partition that neither the table nor boot code uses.
fn unused(layout: &Layout, manifest: &Manifest) -> Vec<Extent> {
    let mut images: Vec<(u64, u64)> = manifest
        .images
        .iter()
        .filter_map(|image| image.offset.map(|start| (start, start + image.size)))
        .collect();
    images.sort_unstable();
    let mut free = Vec::new();
    let mut start = TABLE_HEAD;
    for (next, end) in images.into_iter().chain([(layout.extent(Name::Esp).start, 0)]) {
        free.push(Extent {
            start,
            len: next.saturating_sub(start),
        });
        start = end;
    }
    free
}

/// Returns the extent of a slot's manifest.
fn trailer_of(slot: Extent) -> Extent {
    Extent {
        start: slot.end() - trailer::AREA as u64,
        len: trailer::AREA as u64,
    }
}

/// Makes BOOTSTATE: the initial record in both copies.
fn slot_record() -> Vec<u8> {
    let mut partition = vec![0; MIB as usize];
    for (generation, offset) in (1..).zip(COPY_OFFSETS) {
        let copy = slots::encode(generation, &Record::initial());
        partition[offset as usize..][..copy.len()].copy_from_slice(&copy);
    }
    partition
}

/// Makes a piece that fills the extent: the bytes, then zeros.
fn bytes(what: What, extent: Extent, mut bytes: Vec<u8>) -> Piece {
    bytes.resize(extent.len as usize, 0);
    Piece {
        what,
        extent,
        content: Content::Bytes(bytes),
    }
}

fn zeros(what: What, extent: Extent) -> Piece {
    Piece {
        what,
        extent,
        content: Content::Zeros,
    }
}

/// Returns what is shown of a bundle's release.
pub(crate) fn release(bundle: &BundleFacts) -> Release {
    let manifest = &bundle.manifest;
    Release {
        board: manifest.board.clone(),
        arch: manifest.arch.to_string(),
        version: manifest.version.to_string(),
        locked: manifest.locked,
        manifest: manifest.id().to_string(),
        key: manifest.signer().to_string(),
        bundle_bytes: bundle.bytes,
    }
}
