//! Whether a bundle's system is the one that its root hash stands for: a node starts no other.

use std::io::{Read, Seek};

use bundle::{Frame, ImageName, Reader};
use manifest::SlotImage;
use medium::SlotError;
use verity::{BLOCK, Geometry, Verifier, VerifyError};

use crate::error::ApplyError;

/// Reads the hash tree of a bundle's system, and checks it against the root hash in the manifest.
pub(crate) fn tree_of<R: Read + Seek>(
    bundle: &mut Reader<R>,
    slot: &SlotImage,
) -> Result<Verifier, ApplyError> {
    let verity = &slot.verity;
    let inconsistent = |error: SlotError| ApplyError::Inconsistent(error);
    let geometry = Geometry::new(verity.data_blocks).map_err(|error| inconsistent(error.into()))?;
    let mut tree = Vec::new();
    let (from, to) = (
        verity.tree_offset,
        verity.tree_offset.saturating_add(geometry.tree_len()),
    );
    let mut out = Vec::new();
    for frame in bundle.index().of(ImageName::SLOT).to_vec() {
        let (start, end) = (frame.raw_offset.max(from), frame.raw_end().min(to));
        if start < end {
            bundle.frame(&frame, &mut out)?;
            let place = |at: u64| (at - frame.raw_offset) as usize;
            tree.extend_from_slice(&out[place(start)..place(end)]);
        }
    }
    Verifier::new(geometry, &verity.salt.0, verity.root_hash.0, tree)
        .map_err(|error| inconsistent(error.into()))
}

/// Checks what a frame holds of the system's data.
pub(crate) fn check(verifier: &Verifier, frame: &Frame, bytes: &[u8]) -> Result<(), VerifyError> {
    if frame.image != ImageName::SLOT {
        return Ok(());
    }
    let first = frame.raw_offset / BLOCK as u64;
    let blocks = bytes.as_chunks::<BLOCK>().0;
    for (number, block) in (first..verifier.geometry().data_blocks()).zip(blocks) {
        verifier.check(number, block)?;
    }
    Ok(())
}
