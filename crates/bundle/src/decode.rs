//! Unpacking a frame, and checking it.

use std::io;

use manifest::Digest;
use zstd::bulk::Decompressor;

use crate::{Codec, Frame};

/// Unpacks frames; keeps its working memory from one to the next.
pub struct Decoder {
    zstd: Decompressor<'static>,
}

/// Why a frame cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The packed bytes make no sense.
    #[error("its packed bytes are damaged")]
    Packed(#[source] io::Error),
    /// It unpacks to other bytes than the index vouches for.
    #[error("its hash does not match the signed index")]
    Hash,
}

impl Decoder {
    /// Makes a decoder.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: Decompressor::new()?,
        })
    }

    /// Unpacks `stored` into `out`, whose former content is dropped.
    ///
    /// On success `out` holds exactly the bytes that the index vouches for; on failure nothing.
    pub fn decode(&mut self, frame: &Frame, stored: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let unpacked = self.unpack(frame, stored, out);
        let checked = unpacked.map_err(FrameError::Packed).and_then(|()| {
            if Digest::of(out) == frame.sha256 {
                Ok(())
            } else {
                Err(FrameError::Hash)
            }
        });
        if checked.is_err() {
            out.clear();
        }
        checked
    }

    fn unpack(&mut self, frame: &Frame, stored: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let len = frame.raw_len as usize;
        out.clear();
        match frame.codec {
            Codec::Zero => out.resize(len, 0),
            Codec::Raw => out.extend_from_slice(stored),
            Codec::Zstd => {
                // The vector's capacity is the most that comes out, whatever the packed bytes claim.
                out.resize(len, 0);
                let came = self.zstd.decompress_to_buffer(stored, out.as_mut_slice())?;
                out.truncate(came);
            }
        }
        Ok(())
    }
}
