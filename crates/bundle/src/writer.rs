//! Making a bundle.
//!
//! The manifest vouches for the index, so frames come first: add them all, [`seal`](Writer::seal), add patches if there
//! are any, put what [`Sealed`] tells into the manifest, sign it, and [`write`](Sealed::write) the file. The same input
//! makes the same bytes, however many cores pack it.

use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::thread;

use manifest::{Digest, ImageName};
use sha2::{Digest as _, Sha256};

use crate::codes::Codes;
use crate::index::frames_start;
use crate::{Codec, FRAME_ALIGN, FRAME_MAX, Frame, Memory, Sealed, WriteError};

/// Bytes in a frame, unless told otherwise: small enough to fetch alone, large enough to pack well.
const FRAME_LEN: usize = 1024 * 1024;

/// zstd's level, unless told otherwise: a bundle is packed once and fetched often.
const LEVEL: i32 = 19;

/// What zeros are compared with: a slice at a time, for a debug build's sake.
const ZEROS: [u8; 4096] = [0; 4096];

/// Takes images, and packs them into frames.
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
    memory: Option<Box<dyn Memory>>,
}

impl<S: Read + Write + Seek> Writer<S> {
    /// Starts a bundle; `scratch` holds the packed frames until [`Sealed::write`] (a temporary file, say).
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
            memory: None,
        }
    }

    /// Sets a memory of packed frames: the bundle is the same with one and without, only sooner done.
    pub fn memory(mut self, memory: Box<dyn Memory>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Sets the unpacked length of frames: a multiple of 4096, at most 4 MiB.
    pub fn frame_len(mut self, len: usize) -> Self {
        let whole = len / FRAME_ALIGN as usize * FRAME_ALIGN as usize;
        self.frame_len = whole.clamp(FRAME_ALIGN as usize, FRAME_MAX);
        self
    }

    /// Sets zstd's level: lower is faster, and larger.
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Adds a piece as [`add`](Self::add) does, and puts it in front of all others in the file: it is read first. One
    /// piece can be in front.
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

    /// Adds all that `data` holds as the piece of `image` that starts at `offset`; returns how many bytes that were.
    ///
    /// Images go in one after the other (slot, ESP, boot code, then others as the manifest lists them), and the pieces of an image in order. What no piece
    /// covers is never written to a disk: leave out the ESP's free space, and nothing else.
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
            let (level, memory) = (self.level, self.memory.as_deref());
            let packed = thread::scope(|scope| {
                let workers = pieces
                    .iter()
                    .map(|piece| scope.spawn(move || pack(piece, level, memory)))
                    .collect::<Vec<_>>();
                workers
                    .into_iter()
                    .map(|worker| worker.join().expect("packing does not panic"))
                    .collect::<Vec<_>>()
            });
            for (piece, packed) in pieces.iter().zip(packed) {
                self.push(image, at, piece, packed?)?;
                at += piece.len() as u64;
            }
        }
    }

    /// Ends the adding: from here on the manifest can be made.
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
            // Counted from the first frame until `seal` knows where that lies.
            file_offset: if codec == Codec::Zero { 0 } else { self.stored },
            stored_len,
            sha256: Digest::of(raw),
        });
        self.stored += u64::from(stored_len);
        Ok(())
    }
}

/// How a piece is best stored.
enum Packed {
    Zero,
    Zstd(Vec<u8>),
    Raw,
}

fn pack(raw: &[u8], level: i32, memory: Option<&dyn Memory>) -> io::Result<Packed> {
    if raw
        .chunks(ZEROS.len())
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
    {
        return Ok(Packed::Zero);
    }
    let packed = match memory {
        Some(memory) => recall_or_compress(raw, level, memory)?,
        None => zstd::bulk::compress(raw, level)?,
    };
    Ok(if packed.len() < raw.len() {
        Packed::Zstd(packed)
    } else {
        Packed::Raw
    })
}

/// Takes the packed form from memory when it unpacks to the very bytes.
fn recall_or_compress(raw: &[u8], level: i32, memory: &dyn Memory) -> io::Result<Vec<u8>> {
    // Another level or another zstd packs otherwise: the bundle must not depend on what was built before.
    let mut key = Sha256::new();
    key.update(level.to_le_bytes());
    key.update(zstd::zstd_safe::version_number().to_le_bytes());
    key.update(raw);
    let key = Digest(key.finalize().into());
    if let Some(packed) = memory.recall(&key)
        && zstd::bulk::decompress(&packed, raw.len()).is_ok_and(|unpacked| unpacked == raw)
    {
        return Ok(packed);
    }
    let packed = zstd::bulk::compress(raw, level)?;
    memory.remember(&key, &packed);
    Ok(packed)
}

/// Reads up to `len` bytes; fewer only at the end.
fn read_piece(data: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(len);
    data.take(len as u64).read_to_end(&mut piece)?;
    Ok(piece)
}
