//! The parts of a plan.

use bundle::Frame;
use layout::Extent;
use serde::Serialize;

/// Bytes to be written in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its purpose.
    pub what: What,
    /// Its place.
    pub extent: Extent,
    /// Its content.
    pub content: Content,
}

/// The content of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A frame of the bundle.
    Frame(Frame),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Zeros.
    Zeros,
}

/// The purpose of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// Nothing may be left there that another system, or a boot ROM, could find.
    Unused,
    /// The vendor's boot code.
    BootCode,
    /// The EFI system partition's files and tables; its free space is left alone.
    Esp,
    /// The slot record: slot A is good, slot B empty.
    SlotRecord,
    /// The machine config, or zeros over an older one.
    Config,
    /// The system.
    Slot,
    /// The manifest of slot A.
    Manifest,
    /// The place of slot B's manifest: without one the slot is empty.
    EmptySlot,
    /// The start of STATE and DATA: the node finds no file system there, and makes one.
    FirstBoot,
}
