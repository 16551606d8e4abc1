//! The node on a disk that is to be kept: what it runs, and whether it takes a release.

use std::io::{self, BufReader};
use std::path::PathBuf;

use layout::{Extent, Layout, Name, Table};
use manifest::{TrustedKey, VerifiedManifest, trailer};
use medium::{FileMedium, Medium};
use slots::{Loaded, Record, Slot, SlotState};
use upgrade::{Refusal, SlotRecord, refusals};

use super::part::Part;

/// Where ext4 has its magic number, and what it is.
const EXT4: (u64, [u8; 2]) = (1024 + 56, [0x53, 0xef]);

/// Why a node cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The disk is not a node's.
    #[error("there is no node on it: flash it without --keep-data or --keep-state")]
    NoNode(#[source] layout::TableError),
    /// There is no such file.
    #[error("{} does not exist, so there is nothing to keep", .path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// The partition table is for a larger disk.
    #[error(
        "its partition table is for a disk of {expected} bytes: flash it without --keep-data or --keep-state"
    )]
    OtherSize {
        /// The size in the table.
        expected: u64,
    },
    /// It has not been started yet, or was reset.
    #[error(
        "its STATE holds nothing yet, so there is nothing to keep: flash it without --keep-data or --keep-state"
    )]
    NoState,
    /// It has no release to fall back to.
    #[error(
        "no slot holds a committed release that the keys have signed: start the node, or flash it without --keep-data"
    )]
    NoRelease,
    /// Its release does not trust the key of the bundle.
    #[error("the release on it does not trust the key that signed the bundle: its loader would not start it")]
    OtherKey,
    /// The release is refused, as an upgrade would be.
    #[error("the node on it does not take this bundle: {0}")]
    Refused(String),
    /// The disk cannot be read.
    #[error("cannot read the disk")]
    Read(#[from] io::Error),
    /// The new release cannot be written.
    #[error("the release that was there still starts")]
    Install(#[from] upgrade::Error),
}

/// A node that takes a release.
pub(super) struct Node {
    pub layout: Layout,
    /// The slot that is kept, and that the node falls back to.
    pub running: Slot,
    /// Its release.
    pub old: VerifiedManifest,
}

impl Node {
    /// Reads the node on an open disk. Changes nothing.
    pub fn read(disk: &FileMedium, keys: &[TrustedKey]) -> Result<Self, KeepError> {
        let table = Table::read(&mut BufReader::new(disk.file())).map_err(KeepError::NoNode)?;
        let layout = table.layout;
        if layout.medium() > disk.len() {
            let expected = layout.medium();
            return Err(KeepError::OtherSize { expected });
        }
        let mut magic = [0; 2];
        Part::of(disk, layout.extent(Name::State))?.read_at(EXT4.0, &mut magic)?;
        if magic != EXT4.1 {
            return Err(KeepError::NoState);
        }
        let record = record(disk, &layout)?.ok_or(KeepError::NoRelease)?;
        let is_committed = |slot: &Slot| record.slot(*slot) == SlotState::Committed;
        let mut slots = [record.preferred, record.preferred.other()].into_iter();
        let found = slots.find_map(|slot| {
            // One on trial comes first, and is refused: there is nothing else to fall back to.
            let is_tried = slot == record.preferred && matches!(record.slot(slot), SlotState::Trial { .. });
            if !is_tried && !is_committed(&slot) {
                return None;
            }
            Some((slot, release(disk, extent(&layout, slot), keys)?))
        });
        let (running, old) = found.ok_or(KeepError::NoRelease)?;
        Ok(Self { layout, running, old })
    }

    /// Refuses what an upgrade would refuse.
    pub fn check(&self, disk: &FileMedium, new: &VerifiedManifest) -> Result<(), KeepError> {
        let record = record(disk, &self.layout)?.ok_or(KeepError::NoRelease)?;
        if !self.old.keys.is_empty() && !self.old.keys.contains(&new.signer()) {
            return Err(KeepError::OtherKey);
        }
        let node = upgrade::Node {
            board: self.old.board.clone(),
            arch: self.old.arch,
            version: self.old.version,
            root_hash: self.old.slot.verity.root_hash,
            floor: record.floor,
            running: (self.running, record.slot(self.running)),
            partition_len: extent(&self.layout, self.running.other()).len,
            unhealthy: Vec::new(),
        };
        let against: Vec<String> = refusals(new, &node).iter().map(text).collect();
        match against.is_empty() {
            true => Ok(()),
            false => Err(KeepError::Refused(against.join("; "))),
        }
    }
}

/// Says why a bundle is refused. Some ways out are a running node's.
fn text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Older { version, running } => format!(
            "version {version} is older than {running}, which is on it: use a newer bundle, or `bedplate rollback` on the node"
        ),
        Refusal::OnTrial(slot) => {
            format!("slot {slot} is on trial: start the node, and wait until it is committed")
        }
        Refusal::Running(version) => format!("version {version} with this image is what it runs"),
        other => other.to_string(),
    }
}

/// Returns the extent of a slot.
pub(super) fn extent(layout: &Layout, slot: Slot) -> Extent {
    layout.extent(match slot {
        Slot::A => Name::SlotA,
        Slot::B => Name::SlotB,
    })
}

fn record(disk: &FileMedium, layout: &Layout) -> io::Result<Option<Record>> {
    let mut part = Part::of(disk, layout.extent(Name::BootState))?;
    let Loaded { record, .. } = SlotRecord::new(&mut part).read()?;
    Ok(record)
}

/// Reads the release in a slot, if one of the keys signed it.
fn release(disk: &FileMedium, slot: Extent, keys: &[TrustedKey]) -> Option<VerifiedManifest> {
    let mut part = Part::of(disk, slot).ok()?;
    let mut area = vec![0; trailer::AREA];
    part.read_at(slot.len.checked_sub(trailer::AREA as u64)?, &mut area)
        .ok()?;
    let trailer = trailer::decode(&area).ok()?;
    manifest::verify(trailer.json, trailer.signatures, keys).ok()
}
