//! What a plan is made of.

use bundle::Frame;
use layout::Extent;
use serde::Serialize;

/// Something to be written in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is for.
    pub what: What,
    /// Where it goes.
    pub extent: Extent,
    /// What is written.
    pub content: Content,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A frame of the bundle.
    Frame(Frame),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Zeros.
    Zeros,
}

/// What a piece is for.
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
