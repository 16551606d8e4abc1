//! Writes a bundle.
//!
//! The manifest contains the hash of the index, so frames come first: add them all, [`seal`](Writer::seal), add patches
//! if there are any, put the values that [`Sealed`] returns into the manifest, sign it, and [`write`](Sealed::write) the
//! file. The same input makes the same bytes, however many cores compress it.

use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::thread;

use manifest::{Digest, ImageName};
use sha2::{Digest as _, Sha256};

use crate::codes::Codes;
use crate::index::frames_start;
use crate::{Cache, Codec, FRAME_ALIGN, FRAME_MAX, Frame, Sealed, WriteError};

/// The default length of frames: small enough to fetch alone, large enough to compress well.
const FRAME_LEN: usize = 1024 * 1024;

/// The default level of zstd: a bundle is compressed once and fetched often.
const LEVEL: i32 = 19;

/// A buffer of zeros to compare with, a slice at a time, which is faster in a debug build.
const ZEROS: [u8; 4096] = [0; 4096];

/// Compresses images into frames.
pub struct Writer<S> {
    scratch: S,
    stored: u64,
    lead: Range<u64>,
    frames: Vec<Frame>,
    codes: Codes,
    /// Of each image, by its number.
    hashes: Vec<Sha256>,
    frame_len: usize,
    level: i32,
    cache: Option<Box<dyn Cache>>,
}

impl<S: Read + Write + Seek> Writer<S> {
    /// Starts a bundle; `scratch` (for example a temporary file) holds the compressed frames until [`Sealed::write`].
    pub fn new(scratch: S) -> Self {
        Self {
            scratch,
            stored: 0,
            lead: 0..0,
            frames: Vec::new(),
            codes: Codes::default(),
            hashes: Vec::new(),
            frame_len: FRAME_LEN,
            level: LEVEL,
            cache: None,
        }
    }

    /// Sets a cache of compressed frames: the bundle is the same with and without it, but is built faster.
    pub fn cache(mut self, cache: Box<dyn Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets the uncompressed length of frames: a multiple of 4096, at most 4 MiB.
    pub fn frame_len(mut self, len: usize) -> Self {
        let whole = len / FRAME_ALIGN as usize * FRAME_ALIGN as usize;
        self.frame_len = whole.clamp(FRAME_ALIGN as usize, FRAME_MAX);
        self
    }

    /// Sets zstd's level: a lower one is faster, and makes larger bundles.
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Adds a piece as [`add`](Self::add) does, and puts it before all others in the file, so that it is read first. Only
    /// one piece can be in front.
    pub fn add_in_front(
        &mut self,
        image: ImageName,
        offset: u64,
        data: &mut impl Read,
    ) -> Result<u64, WriteError> {
        let start = self.stored;
        let len = self.add(image, offset, data)?;
        self.lead = start..self.stored;
        Ok(len)
    }

    /// Adds everything in `data` as the piece of `image` that starts at `offset`; returns the number of bytes.
    ///
    /// Images are added one after the other (slot, ESP, boot code, then others as the manifest lists them), and the
    /// pieces of an image in order. What no piece covers is never written to a disk: leave out the ESP's free space, and nothing else.
    pub fn add(&mut self, image: ImageName, offset: u64, data: &mut impl Read) -> Result<u64, WriteError> {
        let batch = thread::available_parallelism().map_or(1, usize::from);
        let mut at = offset;
        loop {
            let mut pieces = Vec::with_capacity(batch);
            for _ in 0..batch {
                let piece = read_piece(data, self.frame_len)?;
                if piece.is_empty() {
                    break;
                }
                pieces.push(piece);
            }
            if pieces.is_empty() {
                return Ok(at - offset);
            }
            let (level, cache) = (self.level, self.cache.as_deref());
            let packed = thread::scope(|scope| {
                let workers = pieces
                    .iter()
                    .map(|piece| scope.spawn(move || pack(piece, level, cache)))
                    .collect::<Vec<_>>();
                workers
                    .into_iter()
                    .map(|worker| worker.join().expect("compression does not panic"))
                    .collect::<Vec<_>>()
            });
            for (piece, packed) in pieces.iter().zip(packed) {
                self.push(image, at, piece, packed?)?;
                at += piece.len() as u64;
            }
        }
    }

    /// Ends the frames: from here on the manifest can be made.
    pub fn seal(mut self) -> Sealed<S> {
        let start = frames_start(self.frames.len() as u64);
        for frame in self.frames.iter_mut().filter(|frame| frame.codec != Codec::Zero) {
            let place = match frame.file_offset {
                packed if packed < self.lead.start => packed + (self.lead.end - self.lead.start),
                packed if packed < self.lead.end => packed - self.lead.start,
                packed => packed,
            };
            frame.file_offset = start + place;
        }
        let hashes = self.hashes.into_iter();
        let hashes = hashes.map(|hash| Digest(hash.finalize().into())).collect();
        let pieces = [self.lead.clone(), 0..self.lead.start, self.lead.end..self.stored];
        Sealed::new(self.scratch, self.frames, (self.codes, hashes), pieces)
    }

    fn push(&mut self, image: ImageName, at: u64, raw: &[u8], packed: Packed) -> Result<(), WriteError> {
        let code = usize::from(self.codes.add(image));
        if self.hashes.len() <= code {
            self.hashes.resize_with(code + 1, Sha256::new);
        }
        self.hashes[code].update(raw);
        let (codec, bytes) = match &packed {
            Packed::Zero => (Codec::Zero, [].as_slice()),
            Packed::Zstd(bytes) => (Codec::Zstd, bytes.as_slice()),
            Packed::Raw => (Codec::Raw, raw),
        };
        self.scratch.write_all(bytes)?;
        let stored_len = bytes.len() as u32;
        self.frames.push(Frame {
            image,
            codec,
            raw_len: raw.len() as u32,
            raw_offset: at,
            // Relative to the first frame until `seal` knows where that is.
            file_offset: if codec == Codec::Zero { 0 } else { self.stored },
            stored_len,
            sha256: Digest::of(raw),
        });
        self.stored += u64::from(stored_len);
        Ok(())
    }
}

/// The form in which a piece is stored.
enum Packed {
    Zero,
    Zstd(Vec<u8>),
    Raw,
}

fn pack(raw: &[u8], level: i32, cache: Option<&dyn Cache>) -> io::Result<Packed> {
    if raw
        .chunks(ZEROS.len())
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
    {
        return Ok(Packed::Zero);
    }
    let packed = match cache {
        Some(cache) => get_or_compress(raw, level, cache)?,
        None => zstd::bulk::compress(raw, level)?,
    };
    Ok(if packed.len() < raw.len() {
        Packed::Zstd(packed)
    } else {
        Packed::Raw
    })
}

/// Uses the cached compressed form if it decompresses to the same bytes.
fn get_or_compress(raw: &[u8], level: i32, cache: &dyn Cache) -> io::Result<Vec<u8>> {
    // Another level or another zstd compresses differently: the bundle must not depend on what was built before.
    let mut key = Sha256::new();
    key.update(level.to_le_bytes());
    key.update(zstd::zstd_safe::version_number().to_le_bytes());
    key.update(raw);
    let key = Digest(key.finalize().into());
    if let Some(packed) = cache.get(&key)
        && zstd::bulk::decompress(&packed, raw.len()).is_ok_and(|unpacked| unpacked == raw)
    {
        return Ok(packed);
    }
    let packed = zstd::bulk::compress(raw, level)?;
    cache.insert(&key, &packed);
    Ok(packed)
}

/// Reads up to `len` bytes; fewer only at the end.
fn read_piece(data: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(len);
    data.take(len as u64).read_to_end(&mut piece)?;
    Ok(piece)
}
