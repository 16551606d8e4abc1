//! A bundle whose frames are complete: it accepts patches, provides values for the manifest, and is written.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use manifest::model::{PatchSet, Version};
use manifest::{Digest, ImageName, Manifest};

use crate::codes::Codes;
use crate::index::frames_start;
use crate::{
    Frame, HEADER_LEN, Header, INDEX_AT, Index, NewPatch, Patch, Patches, SETS_ALIGN, SIGNATURES_MAX,
    WriteError,
};

/// A bundle that lacks only its manifest.
pub struct Sealed<S> {
    scratch: S,
    frames: Vec<Frame>,
    index: Vec<u8>,
    codes: Codes,
    /// Of each image, by its number.
    hashes: Vec<Digest>,
    /// The scratch file starts with the frames: these pieces of it, in this order. Patches follow, set by set.
    pieces: [Range<u64>; 3],
    sets: Vec<Set>,
}

/// A patch set, and its index.
struct Set {
    entry: PatchSet,
    index: Vec<u8>,
}

impl<S> Sealed<S> {
    pub(crate) fn new(
        scratch: S,
        frames: Vec<Frame>,
        images: (Codes, Vec<Digest>),
        pieces: [Range<u64>; 3],
    ) -> Self {
        let (codes, hashes) = images;
        let entry = |frame: &Frame| frame.encode(codes.code(frame.image).unwrap_or(u8::MAX));
        Self {
            scratch,
            index: frames.iter().flat_map(entry).collect(),
            frames,
            codes,
            hashes,
            pieces,
            sets: Vec::new(),
        }
    }

    /// Returns the manifest's description of the index.
    pub fn index(&self) -> manifest::Index {
        manifest::Index {
            frames: self.frames.len() as u32,
            sha256: Digest::of(&self.index),
        }
    }

    /// Returns the hash of an image for the manifest: over its pieces, in order.
    pub fn sha256(&self, image: ImageName) -> Digest {
        let code = self.codes.code(image).map(usize::from);
        let hash = code.and_then(|code| self.hashes.get(code));
        hash.copied().unwrap_or_else(|| Digest::of(b""))
    }

    /// Returns all frames, with their offsets in the bundle.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Returns the manifest's description of the patches.
    pub fn patches(&self) -> Vec<PatchSet> {
        self.sets.iter().map(|set| set.entry.clone()).collect()
    }

    /// Returns the bundle's length, as far as it is known.
    fn end(&self) -> u64 {
        match self.sets.last() {
            Some(Set { entry, .. }) => entry.offset + entry.index_size + entry.size,
            None => frames_start(self.frames.len() as u64) + self.stored(),
        }
    }

    /// Returns the bytes of all frames.
    fn stored(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.end - piece.start).sum()
    }
}

impl<S: Read + Write + Seek> Sealed<S> {
    /// Adds the patches that start from the slot image with root hash `from`, by ascending target.
    pub fn add_patches(&mut self, from: Digest, version: Version, patches: &[NewPatch]) -> io::Result<()> {
        let offset = self.end().next_multiple_of(SETS_ALIGN);
        let mut placed: Vec<Patch> = patches.iter().map(|patch| patch.at(0)).collect();
        let index_size = placed.iter().map(Patch::entry_len).sum();
        let mut at = offset + index_size;
        let mut index = Vec::new();
        for patch in &mut placed {
            patch.file_offset = at;
            at += u64::from(patch.stored_len);
            patch.encode(&mut index);
        }
        self.scratch.seek(SeekFrom::End(0))?;
        for patch in patches {
            self.scratch.write_all(&patch.stored)?;
        }
        let entry = PatchSet {
            from,
            version,
            offset,
            index_size,
            size: at - offset - index_size,
            sha256: Digest::of(&index),
        };
        self.sets.push(Set { entry, index });
        Ok(())
    }
}

impl<S: Read + Seek> Sealed<S> {
    /// Writes the bundle.
    ///
    /// Refuses a manifest that does not match the frames and patches, so that no bundle is published that readers refuse.
    /// Signatures are not checked.
    pub fn write(mut self, out: &mut impl Write, json: &[u8], signatures: &[u8]) -> Result<u64, WriteError> {
        if signatures.len() > SIGNATURES_MAX {
            return Err(WriteError::Signatures(signatures.len()));
        }
        let manifest = Manifest::parse_unverified(json)?;
        if manifest.patches != self.patches() {
            return Err(WriteError::OtherPatches);
        }
        let index = Index::parse(&self.index, &manifest)?;
        for set in &self.sets {
            Patches::parse(&set.index, &manifest, &set.entry)?;
        }
        let header = Header::for_lengths(
            json.len() as u64,
            signatures.len() as u64,
            self.index.len() as u64,
        )?;
        let mut preamble = vec![0; INDEX_AT as usize];
        preamble[..HEADER_LEN].copy_from_slice(&header.encode());
        for (span, bytes) in [(header.manifest, json), (header.signatures, signatures)] {
            preamble[span.offset as usize..span.end() as usize].copy_from_slice(bytes);
        }
        out.write_all(&preamble)?;
        out.write_all(&self.index)?;
        let frames = frames_start(self.frames.len() as u64);
        zeros(out, frames - header.index.end())?;
        for piece in &self.pieces {
            self.scratch.seek(SeekFrom::Start(piece.start))?;
            copy(&mut self.scratch, piece.end - piece.start, out)?;
        }
        let mut at = frames + self.stored();
        self.scratch.seek(SeekFrom::Start(self.stored()))?;
        for Set { entry, index } in &self.sets {
            zeros(out, entry.offset - at)?;
            out.write_all(index)?;
            copy(&mut self.scratch, entry.size, out)?;
            at = entry.offset + entry.index_size + entry.size;
        }
        out.flush()?;
        Ok(index.file_len())
    }
}

fn zeros(out: &mut impl Write, len: u64) -> io::Result<()> {
    out.write_all(&vec![0; len as usize])
}

/// Copies exactly `len` bytes.
fn copy(from: &mut impl Read, len: u64, to: &mut impl Write) -> io::Result<()> {
    if io::copy(&mut from.take(len), to)? == len {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
