//! Decompresses frames and patches, and checks them.

use std::io;

use manifest::Digest;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::{self, DCtx};

use crate::steps::{self, STEPS_MAX};
use crate::{Codec, EXTENT, Frame, FrameError, Patch};

/// The magic number of a zstd frame.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The largest window that a patch may require, as a power of two: sources and extent together.
pub(crate) const WINDOW_LOG_MAX: u32 = 24;

/// Decompresses frames and patches; reuses its working memory from one frame to the next.
pub struct Decoder {
    zstd: Decompressor<'static>,
    scratch: Vec<u8>,
}

impl Decoder {
    /// Makes a decoder.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: Decompressor::new()?,
            scratch: Vec::new(),
        })
    }

    /// Decompresses `stored` into `out`, whose former content is dropped.
    ///
    /// On success `out` holds exactly the bytes that the index covers; on failure it is empty.
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

    /// Makes the extent of `patch` from `stored`, its bytes in the bundle, into `out`, whose former content is dropped.
    ///
    /// `sources` are the bytes of all the patch's sources, concatenated. On success `out` is
    /// [`raw_len`](Patch::raw_len) long, and on failure empty; it never grows beyond that, whatever the compressed bytes
    /// claim. The caller has to check the result against the slot's hash tree.
    pub fn patch(
        &mut self,
        patch: &Patch,
        sources: &[u8],
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        out.clear();
        if sources.len() as u64 != patch.sources_len() || u64::from(patch.raw_len) > EXTENT {
            return Err(FrameError::Patch(
                "its sources or its extent have the wrong length",
            ));
        }
        let (bytes, rest) = first_frame(stored)?;
        let len = patch.raw_len as usize;
        if rest.is_empty() {
            return with_prefix(bytes, sources, len, out);
        }
        let (steps, nothing) = first_frame(rest)?;
        if !nothing.is_empty() {
            return Err(FrameError::Patch("it has more than two frames"));
        }
        let steps = self
            .zstd
            .decompress(steps, STEPS_MAX)
            .map_err(FrameError::Packed)?;
        with_prefix(bytes, sources, len, &mut self.scratch)?;
        out.reserve_exact(len);
        steps::apply(&steps, sources, &self.scratch, out)
    }

    fn unpack(&mut self, frame: &Frame, stored: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let len = frame.raw_len as usize;
        out.clear();
        match frame.codec {
            Codec::Zero => out.resize(len, 0),
            Codec::Raw => out.extend_from_slice(stored),
            Codec::Zstd => {
                // The vector's capacity limits what is decompressed, whatever the compressed bytes claim.
                out.resize(len, 0);
                let came = self.zstd.decompress_to_buffer(stored, out.as_mut_slice())?;
                out.truncate(came);
            }
        }
        Ok(())
    }
}

/// Decompresses a frame that was compressed with `prefix` as its dictionary prefix, to exactly `len` bytes.
fn with_prefix(frame: &[u8], prefix: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    out.clear();
    out.resize(len, 0);
    // A new context each time: the prefix must live as long as the context that refers to it.
    let mut context = DCtx::create();
    let came = context
        .ref_prefix(prefix)
        .and_then(|_| context.decompress(out.as_mut_slice(), frame));
    let result = match came {
        Ok(came) if came == len => Ok(()),
        Ok(_) => Err(FrameError::Patch("it is shorter than its extent")),
        Err(code) => Err(packed(code)),
    };
    if result.is_err() {
        out.clear();
    }
    result
}

/// Splits off the first frame of zstd's current format, without a dictionary, and with a window that is not too large.
fn first_frame(stored: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let Some((magic, [flags, window, ..])) = stored.split_first_chunk() else {
        return Err(FrameError::Patch("it is too short"));
    };
    if *magic != MAGIC {
        return Err(FrameError::Patch("it is not compressed by zstd"));
    }
    if flags & 0b11 != 0 {
        return Err(FrameError::Patch("it requires a dictionary"));
    }
    // A single segment has no window of its own: its window is the whole content.
    let single = flags & 0b10_0000 != 0;
    let size = (1u64 << (10 + u32::from(window >> 3))) / 8 * (8 + u64::from(window & 7));
    if !single && size > 1 << WINDOW_LOG_MAX {
        return Err(FrameError::Patch("its window is too large"));
    }
    let len = zstd_safe::find_frame_compressed_size(stored).map_err(packed)?;
    Ok(stored.split_at(len))
}

fn packed(code: zstd_safe::ErrorCode) -> FrameError {
    FrameError::Packed(io::Error::other(zstd_safe::get_error_name(code)))
}
