//! The pieces of a plan, on their way to the medium.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bundle::Frame;
use layout::Extent;

use crate::apply::CHUNK;
use crate::frames::Unpacked;
use crate::piece::{Content, Piece};
use crate::plan::Plan;

/// Zeros to write, and to compare with.
static ZEROS: [u8; CHUNK as usize] = [0; CHUNK as usize];

/// What comes out of a bundle: one result for each frame, in order.
pub(crate) type Arriving = Receiver<Unpacked>;

/// Returns the frames that a plan writes, in the order of its pieces.
pub(crate) fn frames(plan: &Plan) -> Vec<Frame> {
    let frames = plan.pieces.iter().filter_map(|piece| match &piece.content {
        Content::Frame(frame) => Some(*frame),
        Content::Bytes(_) | Content::Zeros => None,
    });
    frames.collect()
}

/// A piece with its bytes.
pub(crate) struct Loaded<'a> {
    pub piece: &'a Piece,
    /// The bytes of a frame.
    unpacked: Arc<Vec<u8>>,
}

impl<'a> Loaded<'a> {
    /// Takes a piece's bytes from where they are.
    pub fn take(piece: &'a Piece, frames: &Arriving) -> Result<Self, bundle::Error> {
        let unpacked = match &piece.content {
            Content::Frame(_) => frames
                .recv()
                .expect("the unpacker sends a result for every frame")?,
            Content::Bytes(_) | Content::Zeros => Arc::default(),
        };
        Ok(Self { piece, unpacked })
    }

    /// Returns the bytes of a part of the piece, which is given by its place on the medium and no longer than [`CHUNK`].
    pub fn bytes(&self, part: Extent) -> &[u8] {
        let from = (part.start - self.piece.extent.start) as usize;
        let len = part.len as usize;
        match &self.piece.content {
            Content::Frame(_) => &self.unpacked[from..from + len],
            Content::Bytes(bytes) => &bytes[from..from + len],
            Content::Zeros => &ZEROS[..len],
        }
    }

    /// Returns the places on the medium of its parts, each no longer than [`CHUNK`].
    pub fn parts(&self) -> impl Iterator<Item = Extent> + use<> {
        let Extent { start, len } = self.piece.extent;
        (0..len).step_by(CHUNK as usize).map(move |at| Extent {
            start: start + at,
            len: CHUNK.min(len - at),
        })
    }
}
