//! Patches: how pieces of an old slot image become a piece of the new one.
//!
//! A patch makes one extent of the slot's data. Its entry does not contain the hash of the result: whoever applies a
//! patch checks the result against the slot's hash tree.

use manifest::model::PatchSet;
use manifest::{Digest, Manifest};

/// Bytes of the slot's data that one patch makes; the last extent is shorter.
pub const EXTENT: u64 = 4 << 20;

/// The most bytes of the old image that one patch is made from.
pub const SOURCES_MAX: usize = 12 << 20;

/// The most pieces of the old image that one patch is made from.
pub const SOURCES_COUNT: usize = 256;

/// Pieces of the old image start at multiples of this, and their lengths are multiples of it.
pub const SOURCE_ALIGN: u64 = 4096;

/// Patch sets start at multiples of this in the bundle.
pub const SETS_ALIGN: u64 = 4096;

/// Bytes of an entry before its sources.
const ENTRY_LEN: usize = 32;

/// Bytes of a source in an entry.
const SOURCE_LEN: usize = 16;

/// A piece of the old slot image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its offset in the old slot image.
    pub offset: u64,
    /// Its length.
    pub len: u32,
}

/// How one extent of the new slot image is made, and where in the bundle the patch is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The extent's offset in the new slot image.
    pub target: u64,
    /// The extent's length.
    pub raw_len: u32,
    /// The pieces of the old slot image that it is made from, in the order in which they are concatenated.
    pub sources: Vec<Source>,
    /// The patch's offset in the bundle.
    pub file_offset: u64,
    /// The patch's length in the bundle.
    pub stored_len: u32,
}

/// The patches of one set.
///
/// A value of this type proves that the manifest has the hash of its index; that every patch makes a whole extent, in
/// ascending order; that sources are whole blocks, with at most [`SOURCES_MAX`] bytes and [`SOURCES_COUNT`] pieces per
/// patch; and that patches are contiguous in the file and fill the set. It does not prove that the sources are inside the
/// old image: that is checked where the old image is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patches {
    patches: Vec<Patch>,
}

/// Why bytes are not the index of a patch set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The set belongs to another bundle.
    #[error("the bundle's manifest does not list the patches from {0}")]
    Unlisted(Digest),
    /// The hash differs from the manifest's.
    #[error("the bundle's index of patches does not match the hash in its manifest: fetch the file again")]
    Hash,
    /// An entry is invalid.
    #[error("patch {number} of the bundle's index of patches {fault}")]
    Patch {
        /// Number of the entry, from 0.
        number: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// The length of the patches differs from the manifest's.
    #[error("the bundle's patches have {actual} bytes, but its manifest says {expected}")]
    Size {
        /// By the manifest.
        expected: u64,
        /// By the index.
        actual: u64,
    },
}

impl Patch {
    /// Returns the total length of its sources.
    pub fn sources_len(&self) -> u64 {
        self.sources.iter().map(|source| u64::from(source.len)).sum()
    }

    /// Returns the length of its entry.
    pub(crate) fn entry_len(&self) -> u64 {
        (ENTRY_LEN + self.sources.len() * SOURCE_LEN) as u64
    }

    /// Appends its entry.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.target.to_le_bytes());
        out.extend(self.raw_len.to_le_bytes());
        out.extend(self.stored_len.to_le_bytes());
        out.extend(self.file_offset.to_le_bytes());
        out.extend((self.sources.len() as u32).to_le_bytes());
        out.extend([0; 4]);
        for source in &self.sources {
            out.extend(source.offset.to_le_bytes());
            out.extend(source.len.to_le_bytes());
            out.extend([0; 4]);
        }
    }

    /// Takes an entry off the front of `bytes`.
    fn decode(bytes: &mut &[u8]) -> Result<Self, &'static str> {
        let entry = take::<ENTRY_LEN>(bytes)?;
        let count = short(entry, 24) as usize;
        if short(entry, 28) != 0 {
            return Err("has a reserved byte that is not zero");
        }
        if count > SOURCES_COUNT {
            return Err("has too many sources");
        }
        let mut sources = Vec::with_capacity(count);
        for _ in 0..count {
            let source = take::<SOURCE_LEN>(bytes)?;
            if short(source, 12) != 0 {
                return Err("has a reserved byte that is not zero");
            }
            sources.push(Source {
                offset: long(source, 0),
                len: short(source, 8),
            });
        }
        Ok(Self {
            target: long(entry, 0),
            raw_len: short(entry, 8),
            stored_len: short(entry, 12),
            file_offset: long(entry, 16),
            sources,
        })
    }

    /// Checks everything about a patch that does not depend on the others.
    fn check(&self, data_len: u64) -> Result<(), &'static str> {
        if !self.target.is_multiple_of(EXTENT) || self.target >= data_len {
            return Err("does not start at an extent of the slot's data");
        }
        if u64::from(self.raw_len) != EXTENT.min(data_len - self.target) {
            return Err("does not make a whole extent");
        }
        // A patch that is not smaller than its result is not stored; this also bounds the memory of readers.
        if self.stored_len == 0 || self.stored_len > self.raw_len {
            return Err("has an impossible length");
        }
        for source in &self.sources {
            let aligned = source.offset.is_multiple_of(SOURCE_ALIGN)
                && u64::from(source.len).is_multiple_of(SOURCE_ALIGN)
                && source.len != 0;
            if !aligned {
                return Err("has a source that is not whole blocks");
            }
            if source.offset.checked_add(u64::from(source.len)).is_none() {
                return Err("has a source beyond the largest disk");
            }
        }
        if self.sources_len() > SOURCES_MAX as u64 {
            return Err("has too many bytes of sources");
        }
        Ok(())
    }
}

impl Patches {
    /// Reads the index of `set`, which is one of `manifest`'s.
    pub fn parse(bytes: &[u8], manifest: &Manifest, set: &PatchSet) -> Result<Self, PatchError> {
        if !manifest.patches.contains(set) {
            return Err(PatchError::Unlisted(set.from));
        }
        if bytes.len() as u64 != set.index_size || Digest::of(bytes) != set.sha256 {
            return Err(PatchError::Hash);
        }
        let data_len = manifest.slot.verity.tree_offset;
        let start = set.offset + set.index_size;
        let mut patches: Vec<Patch> = Vec::new();
        let (mut left, mut end) = (bytes, start);
        while !left.is_empty() {
            let number = patches.len();
            let fault = |fault| PatchError::Patch { number, fault };
            let patch = Patch::decode(&mut left).map_err(fault)?;
            patch.check(data_len).map_err(fault)?;
            if patches.last().is_some_and(|before| before.target >= patch.target) {
                return Err(fault("is out of order"));
            }
            if patch.file_offset != end {
                return Err(fault("does not follow the one before in the file"));
            }
            // At most 4 MiB for each entry of an index of bounded length: far from overflowing.
            end += u64::from(patch.stored_len);
            patches.push(patch);
        }
        if end - start != set.size {
            return Err(PatchError::Size {
                expected: set.size,
                actual: end - start,
            });
        }
        Ok(Self { patches })
    }

    /// Returns all patches, by ascending offset in the slot image.
    pub fn all(&self) -> &[Patch] {
        &self.patches
    }

    /// Finds the patch that makes the extent at `target`.
    pub fn at(&self, target: u64) -> Option<&Patch> {
        let found = self.patches.binary_search_by_key(&target, |patch| patch.target);
        found.ok().map(|number| &self.patches[number])
    }
}

/// Takes so many bytes off the front.
fn take<'a, const LEN: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; LEN], &'static str> {
    let (head, rest) = bytes.split_first_chunk().ok_or("is cut off")?;
    *bytes = rest;
    Ok(head)
}

fn short(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
