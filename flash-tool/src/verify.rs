//! Reads back what was written.

use layout::Extent;
use manifest::Digest;
use medium::Source;

use crate::apply::{CHUNK, failed};
use crate::error::ApplyError;
use crate::piece::{Content, Piece};

/// A buffer of zeros to compare with.
const ZEROS: [u8; 4096] = [0; 4096];

/// Compares a piece with what is there.
pub(crate) fn verify(piece: &Piece, source: &mut (impl Source + ?Sized)) -> Result<(), ApplyError> {
    let Extent { start, len } = piece.extent;
    let mut buffer = Vec::new();
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
            .read_bytes(start + at, &mut buffer)
            .map_err(failed("read back from"))?;
        let good = match &piece.content {
            Content::Zeros => buffer
                .chunks(ZEROS.len())
                .all(|chunk| chunk == &ZEROS[..chunk.len()]),
            Content::Bytes(bytes) => buffer == *bytes,
            Content::Frame(frame) => Digest::of(&buffer) == frame.sha256,
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
