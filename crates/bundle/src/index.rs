//! The index: all frames, in order.

use std::ops::Range;

use manifest::{Digest, ImageName, Manifest};

use crate::codes::Codes;
use crate::{Codec, ENTRY_LEN, FRAME_ALIGN, FRAME_MAX, FRAMES_ALIGN, Frame, INDEX_AT, SETS_ALIGN};

/// The frames of a bundle.
///
/// A value of this type proves that the index matches the manifest's hash; that frames are in order, do not overlap, and
/// stay inside their images; that they cover the slot and the boot code without gaps; that they are contiguous in the
/// file, in any order; and that the manifest's patch sets follow them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    frames: Vec<Frame>,
    /// Which of the frames are those of each image.
    images: Vec<(ImageName, Range<usize>)>,
    frames_end: u64,
    file_len: u64,
}

/// Why bytes are not the index of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The hash differs from the manifest's.
    #[error("the bundle's index does not match the hash in its manifest: fetch the file again")]
    Hash,
    /// The number of entries differs from the manifest's.
    #[error("the bundle's index has {bytes} bytes, but its manifest says {frames} frames of {ENTRY_LEN}")]
    Length {
        /// Bytes of the index.
        bytes: usize,
        /// Frames by the manifest.
        frames: u32,
    },
    /// An entry is invalid.
    #[error("frame {number} of the bundle's index {fault}")]
    Frame {
        /// Number of the entry, from 0.
        number: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// An image that must be complete has a gap.
    #[error("the bundle's frames do not cover all of image {image}")]
    Hole {
        /// The image.
        image: ImageName,
    },
    /// A patch set is not right after the frames and the sets before it.
    #[error(
        "patch set {number} of the bundle's manifest starts at byte {offset}, but must start at byte {expected}"
    )]
    Patches {
        /// Number of the set, from 0.
        number: usize,
        /// Where the manifest puts it.
        offset: u64,
        /// Where it must be.
        expected: u64,
    },
}

impl Index {
    /// Reads an index whose hash is in `manifest`.
    pub fn parse(bytes: &[u8], manifest: &Manifest) -> Result<Self, IndexError> {
        let frames = manifest.index.frames;
        if bytes.len() as u64 != u64::from(frames) * ENTRY_LEN as u64 {
            return Err(IndexError::Length {
                bytes: bytes.len(),
                frames,
            });
        }
        if Digest::of(bytes) != manifest.index.sha256 {
            return Err(IndexError::Hash);
        }
        let codes = Codes::of(manifest.images.iter().map(|image| image.name));
        let frames = bytes
            .as_chunks::<ENTRY_LEN>()
            .0
            .iter()
            .enumerate()
            .map(|(number, entry)| {
                Frame::decode(entry, &codes).ok_or(IndexError::Frame {
                    number,
                    fault: "has an unknown code",
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::check(frames, &codes, manifest)
    }

    /// Returns all frames: by image, then by offset.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Returns where in the bundle the first frame starts: opening the bundle reads everything before it.
    pub fn frames_start(&self) -> u64 {
        frames_start(self.frames.len() as u64)
    }

    /// Returns the frames of one image.
    pub fn of(&self, image: ImageName) -> &[Frame] {
        let found = self.images.iter().find(|(name, _)| *name == image);
        found.map_or(&[], |(_, range)| &self.frames[range.clone()])
    }

    /// Returns where in the bundle the frames end.
    pub fn frames_end(&self) -> u64 {
        self.frames_end
    }

    /// Returns the length that the bundle must have.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    fn check(frames: Vec<Frame>, codes: &Codes, manifest: &Manifest) -> Result<Self, IndexError> {
        let rank = |frame: &Frame| (codes.code(frame.image), frame.raw_offset);
        let mut before: Option<&Frame> = None;
        for (number, frame) in frames.iter().enumerate() {
            let fault = |fault| Err(IndexError::Frame { number, fault });
            let Some(image) = manifest.image(frame.image) else {
                return fault("belongs to an image that the manifest does not have");
            };
            if before.is_some_and(|before| rank(frame) <= rank(before)) {
                return fault("is out of order");
            }
            if before.is_some_and(|before| before.image == frame.image && before.raw_end() > frame.raw_offset)
            {
                return fault("overlaps the one before");
            }
            if frame.raw_len == 0 || frame.raw_len as usize > FRAME_MAX {
                return fault("has an impossible length");
            }
            if !frame.raw_offset.is_multiple_of(FRAME_ALIGN) || frame.raw_end() > image.size {
                return fault("is outside its image, or not aligned to its blocks");
            }
            match frame.codec {
                Codec::Zero if frame.file_offset != 0 || frame.stored_len != 0 => {
                    return fault("is all zero, but is stored");
                }
                Codec::Zero => {}
                Codec::Zstd if frame.stored_len >= frame.raw_len => {
                    return fault("is larger compressed than uncompressed");
                }
                Codec::Raw if frame.stored_len != frame.raw_len => return fault("has two different lengths"),
                Codec::Zstd | Codec::Raw => {}
            }
            before = Some(frame);
        }
        let file_end = stored_end(&frames)?;
        let index = Self {
            images: ranges(&frames),
            frames,
            frames_end: file_end,
            file_len: patches_end(file_end, manifest)?,
        };
        for image in &manifest.images {
            // A slot or boot code with a gap would hold unverified bytes.
            let covered: u64 = index
                .of(image.name)
                .iter()
                .map(|frame| u64::from(frame.raw_len))
                .sum();
            if !image.may_have_holes() && covered != image.size {
                return Err(IndexError::Hole { image: image.name });
            }
        }
        Ok(index)
    }
}

/// Finds the frames of each image: frames are sorted by image.
fn ranges(frames: &[Frame]) -> Vec<(ImageName, Range<usize>)> {
    let mut ranges: Vec<(ImageName, Range<usize>)> = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        match ranges.last_mut() {
            Some((image, range)) if *image == frame.image => range.end = number + 1,
            _ => ranges.push((frame.image, number..number + 1)),
        }
    }
    ranges
}

/// Follows the frames through the file; returns where the last one ends.
fn stored_end(frames: &[Frame]) -> Result<u64, IndexError> {
    let mut stored: Vec<(usize, &Frame)> = frames.iter().enumerate().collect();
    stored.retain(|(_, frame)| frame.codec != Codec::Zero);
    stored.sort_by_key(|(_, frame)| (frame.file_offset, frame.stored_len));
    let mut end = frames_start(frames.len() as u64);
    for (number, frame) in stored {
        let fault = |fault| IndexError::Frame { number, fault };
        if frame.file_offset != end {
            return Err(fault("does not follow another one in the file"));
        }
        let next = end.checked_add(u64::from(frame.stored_len));
        end = next.ok_or(fault("is beyond the largest file"))?;
    }
    Ok(end)
}

/// Follows the patch sets after the frames; returns where the last one ends.
fn patches_end(frames_end: u64, manifest: &Manifest) -> Result<u64, IndexError> {
    let mut end = frames_end;
    for (number, set) in manifest.patches.iter().enumerate() {
        let expected = end.checked_next_multiple_of(SETS_ALIGN).unwrap_or(u64::MAX);
        if set.offset != expected {
            return Err(IndexError::Patches {
                number,
                offset: set.offset,
                expected,
            });
        }
        // The manifest's own limits keep this sum small.
        end = set.offset + set.index_size + set.size;
    }
    Ok(end)
}

/// Returns where the first frame is stored, after an index with this many entries.
pub(crate) fn frames_start(frames: u64) -> u64 {
    (INDEX_AT + frames * ENTRY_LEN as u64).next_multiple_of(FRAMES_ALIGN)
}
