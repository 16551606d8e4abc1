//! Verifies that a slot holds what its manifest covers.

use std::io;

use manifest::SlotImage;
use verity::{BLOCK, Geometry, GeometryError, Verifier, VerifyError};

use crate::Source;

/// Bytes that are read at a time.
const CHUNK: usize = 1024 * 1024;

/// Why a slot does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The medium cannot be read.
    #[error("cannot read the slot back")]
    Io(#[from] io::Error),
    /// The manifest describes an impossible tree.
    #[error("the slot's hash tree is impossible")]
    Geometry(#[from] GeometryError),
    /// The bytes differ from those that were signed.
    #[error("the medium does not hold what was written to it")]
    Content(#[from] VerifyError),
}

/// Reads a slot that starts at `offset` of the medium, and checks every byte of it against the signed root hash.
///
/// The kernel will make the same check. Drop the cache first, or this says nothing about the medium.
/// `advance` receives the number of bytes as they are read.
pub fn check_slot(
    medium: &mut (impl Source + ?Sized),
    offset: u64,
    slot: &SlotImage,
    mut advance: impl FnMut(u64),
) -> Result<(), SlotError> {
    let verity = &slot.verity;
    let geometry = Geometry::new(verity.data_blocks)?;
    if geometry.tree_len() != verity.tree_size {
        let (expected, actual) = (geometry.tree_len(), verity.tree_size);
        return Err(SlotError::Content(VerifyError::Length { expected, actual }));
    }
    let mut tree = vec![0; usize::try_from(geometry.tree_len()).map_err(io::Error::other)?];
    medium.read_bytes(offset + verity.tree_offset, &mut tree)?;
    advance(tree.len() as u64);
    let data_len = geometry.data_len();
    let verifier = Verifier::new(geometry, &verity.salt.0, verity.root_hash.0, tree)?;

    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < data_len {
        let len = CHUNK.min(usize::try_from(data_len - at).unwrap_or(CHUNK));
        medium.read_bytes(offset + at, &mut buffer[..len])?;
        for (number, block) in buffer[..len].as_chunks::<BLOCK>().0.iter().enumerate() {
            verifier.check(at / BLOCK as u64 + number as u64, block)?;
        }
        at += len as u64;
        advance(len as u64);
    }
    Ok(())
}
