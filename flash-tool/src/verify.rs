//! Reads back what was written.

use layout::{Extent, Name};
use manifest::Digest;
use medium::{Source, check_slot};

use crate::apply::{CHUNK, failed};
use crate::error::ApplyError;
use crate::plan::{Content, Piece, Plan, What};

/// A buffer of zeros to compare with.
const ZEROS: [u8; 4096] = [0; 4096];

/// Reads every piece: the slot against its signed tree, the rest against the plan. `advance` receives the number of bytes as they
/// are read.
pub(crate) fn verify(
    plan: &Plan,
    source: &mut (impl Source + ?Sized),
    mut advance: impl FnMut(u64),
) -> Result<(), ApplyError> {
    let slot = plan.table.layout.extent(Name::SlotA);
    check_slot(source, slot.start, &plan.manifest.slot, &mut advance)?;
    let mut buffer = Vec::new();
    for piece in plan.pieces.iter().filter(|piece| piece.what != What::Slot) {
        compare(source, piece, &mut buffer)?;
        advance(piece.extent.len);
    }
    Ok(())
}

/// Returns the pieces in the order in which [`verify`] reads them, so that it can follow close behind whoever writes them: the
/// slot's tree, what the tree covers, and the rest.
pub(crate) fn reading_order(plan: &Plan) -> Vec<&Piece> {
    let tree = plan.table.layout.extent(Name::SlotA).start + plan.manifest.slot.verity.tree_offset;
    let mut order: Vec<&Piece> = plan.pieces.iter().collect();
    order.sort_by_key(|piece| (piece.what != What::Slot, piece.extent.end() <= tree));
    order
}

/// Compares a piece with what is there.
fn compare(
    source: &mut (impl Source + ?Sized),
    piece: &Piece,
    buffer: &mut Vec<u8>,
) -> Result<(), ApplyError> {
    let Extent { start, len } = piece.extent;
    let mut at = 0;
    // A frame is hashed as a whole, and is never long; zeros can be.
    let step = if matches!(piece.content, Content::Zeros) {
        CHUNK
    } else {
        len
    };
    while at < len {
        let chunk = step.min(len - at);
        buffer.resize(chunk as usize, 0);
        source
            .read_bytes(start + at, buffer)
            .map_err(failed("read back from"))?;
        let good = match &piece.content {
            Content::Zeros => buffer
                .chunks(ZEROS.len())
                .all(|chunk| chunk == &ZEROS[..chunk.len()]),
            Content::Bytes(bytes) => buffer == bytes,
            Content::Frame(frame) => Digest::of(buffer) == frame.sha256,
        };
        if !good {
            return Err(ApplyError::ReadBack {
                what: piece.what,
                offset: start + at,
            });
        }
        at += chunk;
    }
    Ok(())
}
