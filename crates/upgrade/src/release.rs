//! An open bundle that is read in pieces.

use std::io::{Cursor, Read, Seek};
use std::ops::Range;

use bundle::{Frame, ImageName, Patch, Patches, Reader};
use manifest::{TrustedKey, VerifiedManifest};
use verity::{Geometry, Groups, VerifyError};

use crate::Error;

/// Where a bundle comes from.
pub trait Source: Read + Seek {
    /// Announces which ranges of the bundle will be read next, in this order, so that a server can be asked for several at
    /// once. The reads that follow may differ.
    fn expect(&mut self, _ranges: &[Range<u64>]) {}

    /// Returns true if the bundle can only be read from start to end: what is skipped is transferred as well, and reading
    /// something earlier transfers everything again.
    fn comes_in_order(&self) -> bool {
        false
    }
}

impl Source for std::fs::File {}
impl<T: AsRef<[u8]>> Source for Cursor<T> {}
impl<S: Source + ?Sized> Source for &mut S {
    fn expect(&mut self, ranges: &[Range<u64>]) {
        (**self).expect(ranges);
    }

    fn comes_in_order(&self) -> bool {
        (**self).comes_in_order()
    }
}
impl<S: Source + ?Sized> Source for Box<S> {
    fn expect(&mut self, ranges: &[Range<u64>]) {
        (**self).expect(ranges);
    }

    fn comes_in_order(&self) -> bool {
        (**self).comes_in_order()
    }
}

/// An open bundle, signed by a trusted key.
pub struct Release<S> {
    reader: Reader<S>,
    overhead: u64,
    /// The frame that was decompressed last: two extents often share one.
    last: Option<(u64, Vec<u8>)>,
}

impl<S: Source> Release<S> {
    /// Opens a bundle: fetches its manifest and index, and checks them.
    pub fn open(source: S, keys: &[TrustedKey]) -> Result<Self, Error> {
        let reader = Reader::open(source, keys)?;
        let overhead = reader.index().frames_start();
        Ok(Release {
            reader,
            overhead,
            last: None,
        })
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &VerifiedManifest {
        self.reader.manifest()
    }

    /// Returns the manifest and its signatures, byte for byte.
    pub fn texts(&self) -> (&[u8], &[u8]) {
        (self.reader.manifest_json(), self.reader.signatures())
    }

    /// Returns the bytes fetched so far to learn what the bundle holds.
    pub(crate) fn overhead(&self) -> u64 {
        self.overhead
    }

    /// Returns the frames of the slot image, by offset.
    pub(crate) fn frames(&self) -> &[Frame] {
        self.reader.index().of(ImageName::SLOT)
    }

    /// Fetches the index of the patches that start from the image with this root hash, if there are any.
    pub(crate) fn patches(&mut self, root_hash: &manifest::Digest) -> Result<Option<Patches>, Error> {
        let Some(set) = self.manifest().patches_from(root_hash).cloned() else {
            return Ok(None);
        };
        let patches = self.reader.patches(&set)?;
        // The gap before the set is read as well, and must be empty.
        let sets = self.manifest().patches.iter();
        let before = sets.map(|set| set.offset + set.index_size + set.size);
        let before = before.filter(|end| *end <= set.offset).max();
        let gap = set.offset - before.unwrap_or(self.reader.index().frames_end());
        self.overhead += gap + set.index_size;
        Ok(Some(patches))
    }

    /// Fetches the hash tree above the leaves, and checks it. Also returns the bytes that were fetched.
    pub(crate) fn groups(&mut self) -> Result<(Groups, u64), Error> {
        let verity = self.manifest().slot.verity.clone();
        let geometry = Geometry::new(verity.data_blocks)?;
        if geometry.tree_len() != verity.tree_size {
            let (expected, actual) = (geometry.tree_len(), verity.tree_size);
            return Err(Error::Tree(VerifyError::Length { expected, actual }));
        }
        let range = verity.tree_offset..verity.tree_offset + geometry.upper_len();
        let (upper, fetched) = self.range(range)?;
        let groups = Groups::new(geometry, &verity.salt.0, verity.root_hash.0, upper)?;
        Ok((groups, fetched))
    }

    /// Fetches a range of the slot image by its frames. Also returns the bytes that were fetched.
    pub(crate) fn range(&mut self, range: Range<u64>) -> Result<(Vec<u8>, u64), Error> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut fetched = 0;
        for frame in overlapping(self.frames(), &range).to_vec() {
            fetched += self.frame_into(&frame, range.start, &mut bytes)?;
        }
        Ok((bytes, fetched))
    }

    /// Fetches a frame and copies its part of `bytes`, which start at `start` of the slot image. Returns the number of
    /// bytes that were fetched: none when it is the frame that was fetched last.
    pub(crate) fn frame_into(&mut self, frame: &Frame, start: u64, bytes: &mut [u8]) -> Result<u64, Error> {
        let known = matches!(&self.last, Some((offset, _)) if *offset == frame.raw_offset);
        let mut fetched = 0;
        if !known {
            let mut unpacked = self.last.take().map(|(_, buffer)| buffer).unwrap_or_default();
            self.reader.frame(frame, &mut unpacked)?;
            fetched = u64::from(frame.stored_len);
            self.last = Some((frame.raw_offset, unpacked));
        }
        let end = start + bytes.len() as u64;
        let (from, to) = (frame.raw_offset.max(start), frame.raw_end().min(end));
        if let Some((_, unpacked)) = self.last.as_ref().filter(|_| from < to) {
            let piece = (from - frame.raw_offset) as usize..(to - frame.raw_offset) as usize;
            bytes[(from - start) as usize..(to - start) as usize].copy_from_slice(&unpacked[piece]);
        }
        Ok(fetched)
    }

    /// Fetches a patch and applies it to its sources; returns false when it does not apply to them. The caller has to
    /// verify the result.
    pub(crate) fn patch(&mut self, patch: &Patch, sources: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        Ok(self.reader.patch(patch, sources, out)?.is_ok())
    }

    /// Returns true if what is skipped is transferred as well.
    pub(crate) fn comes_in_order(&mut self) -> bool {
        self.reader.source().comes_in_order()
    }

    /// Announces to the source what will be read.
    pub(crate) fn expect(&mut self, ranges: &[Range<u64>]) {
        self.reader.source().expect(ranges);
    }
}

/// Returns the frames that overlap a range.
pub(crate) fn overlapping<'a>(frames: &'a [Frame], range: &Range<u64>) -> &'a [Frame] {
    let start = frames.partition_point(|frame| frame.raw_end() <= range.start);
    let end = frames.partition_point(|frame| frame.raw_offset < range.end);
    &frames[start.min(end)..end]
}
