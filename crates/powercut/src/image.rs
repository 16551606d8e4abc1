//! The content of a medium: cheap to copy, cheap to compare.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, OnceLock};

use layout::Extent;

/// Contents are shared, and compared, in blocks of this size.
pub const BLOCK: usize = 4096;

/// The unit that a medium writes completely or not at all.
pub const SECTOR: usize = 512;

/// The number of blocks whose references are copied together when one of them changes.
const CHUNK: usize = 256;

/// Some bytes, and their digest.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    bytes: [u8; BLOCK],
    hash: [u64; 2],
    /// The value of all bytes, when they are equal.
    uniform: Option<u8>,
}

impl Block {
    /// Makes a block. Blocks of one value, which are the most common, are made once.
    pub fn new(bytes: &[u8; BLOCK]) -> Arc<Self> {
        static UNIFORM: [OnceLock<Arc<Block>>; 256] = [const { OnceLock::new() }; 256];
        let value = bytes[0];
        if bytes[..BLOCK - 1] == bytes[1..] {
            let block = UNIFORM[usize::from(value)].get_or_init(|| Self::with(bytes, Some(value)));
            return Arc::clone(block);
        }
        Self::with(bytes, None)
    }

    fn with(bytes: &[u8; BLOCK], uniform: Option<u8>) -> Arc<Self> {
        let hash = [0, 1].map(|lane| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(lane);
            hasher.write(bytes);
            hasher.finish()
        });
        Arc::new(Self {
            bytes: *bytes,
            hash,
            uniform,
        })
    }

    /// Returns the digest of this content at this place. Those of all blocks add up to the digest of the whole.
    fn placed(&self, index: u64) -> u128 {
        let lane = |lane: usize| u128::from(mix(self.hash[lane] ^ mix(index + ((lane as u64) << 62) + 1)));
        lane(0) << 64 | lane(1)
    }
}

/// Spreads a change of any bit over all of them.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A run of blocks. `None` stands for what the medium held before anything was written.
type Chunk = [Option<Arc<Block>>; CHUNK];

/// The content of a medium. A copy shares everything with the original until one of them is changed.
#[derive(Debug, Clone)]
pub struct Image {
    len: u64,
    fill: u8,
    chunks: Vec<Option<Arc<Chunk>>>,
    digest: u128,
}

impl Image {
    /// Makes a medium filled with `fill`.
    pub fn new(len: u64, fill: u8) -> Self {
        let chunks = len.div_ceil((BLOCK * CHUNK) as u64);
        Self {
            len,
            fill,
            chunks: vec![
                None;
                usize::try_from(chunks).expect("a medium in a test is smaller than a petabyte")
            ],
            digest: 0,
        }
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns true if it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the medium longer, filled with its fill byte.
    pub fn grow(&mut self, len: u64) {
        assert!(len >= self.len, "a medium only ever grows");
        self.chunks.resize(Self::new(len, 0).chunks.len(), None);
        self.len = len;
    }

    /// Returns a digest of this content among those of the same length and fill.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Returns a digest of the content of whole blocks, regardless of where they are.
    pub fn digest_of(&self, extent: Extent) -> u128 {
        let block = BLOCK as u64;
        assert!(
            extent.start.is_multiple_of(block) && extent.len.is_multiple_of(block),
            "whole blocks"
        );
        let (first, count) = (extent.start / block, extent.len / block);
        let blocks = (0..count).filter_map(|index| Some(self.block(first + index)?.placed(index)));
        blocks.fold(0, u128::wrapping_add)
    }

    /// Reads some bytes.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        assert!(offset + out.len() as u64 <= self.len, "read beyond the end");
        let mut at = 0;
        while at < out.len() {
            let (index, start, len) = here(offset + at as u64, out.len() - at);
            match self.block(index) {
                Some(block) => out[at..at + len].copy_from_slice(&block.bytes[start..start + len]),
                None => out[at..at + len].fill(self.fill),
            }
            at += len;
        }
    }

    /// Reads some bytes.
    pub fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.read(offset, &mut out);
        out
    }

    /// Replaces some bytes.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.len, "write beyond the end");
        let mut at = 0;
        while at < bytes.len() {
            let (index, start, len) = here(offset + at as u64, bytes.len() - at);
            let mut block = self.block(index).map_or([self.fill; BLOCK], |block| block.bytes);
            block[start..start + len].copy_from_slice(&bytes[at..at + len]);
            self.put(index, Block::new(&block));
            at += len;
        }
    }

    /// Replaces a block.
    pub(crate) fn put(&mut self, index: u64, block: Arc<Block>) {
        if let Some(before) = self.block(index) {
            self.digest = self.digest.wrapping_sub(before.placed(index));
        }
        // A block that equals one that was never written is left out: equal contents, equal digests.
        let kept = (block.uniform != Some(self.fill)).then_some(block);
        if let Some(after) = &kept {
            self.digest = self.digest.wrapping_add(after.placed(index));
        }
        let (chunk, place) = (index as usize / CHUNK, index as usize % CHUNK);
        let chunk = self.chunks[chunk].get_or_insert_with(|| Arc::new([const { None }; CHUNK]));
        Arc::make_mut(chunk)[place] = kept;
    }

    fn block(&self, index: u64) -> Option<&Arc<Block>> {
        let chunk = self.chunks[index as usize / CHUNK].as_ref()?;
        chunk[index as usize % CHUNK].as_ref()
    }
}

/// Finds the block of a byte, the byte's offset in it, and how many of `want` bytes are in that block.
fn here(offset: u64, want: usize) -> (u64, usize, usize) {
    let start = (offset % BLOCK as u64) as usize;
    (offset / BLOCK as u64, start, want.min(BLOCK - start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_written_and_equal_contents_have_equal_digests(
            writes in proptest::collection::vec((0u64..20_000, 1usize..9000, 0u8..3), 1..8),
            fill in 0u8..3,
        ) {
            let len = 30_000;
            let (mut image, mut plain) = (Image::new(len, fill), vec![fill; len as usize]);
            let empty = image.clone();
            for (at, count, value) in writes {
                let count = count.min((len - at) as usize);
                image.write(at, &vec![value; count]);
                plain[at as usize..at as usize + count].fill(value);
            }
            prop_assert_eq!(&image.bytes(0, len as usize), &plain);
            prop_assert!(empty.bytes(0, len as usize).iter().all(|byte| *byte == fill), "a copy is left alone");

            let mut again = Image::new(len, fill);
            again.write(0, &plain);
            prop_assert_eq!(again.digest(), image.digest());
            again.write(777, &[plain[777] ^ 1]);
            prop_assert_ne!(again.digest(), image.digest());
        }

        #[test]
        fn a_part_has_the_same_digest_wherever_it_lies(value: [u8; 32], at in 0u64..5, to in 0u64..5) {
            let digest = |at: u64| {
                let mut image = Image::new(20 * BLOCK as u64, 0);
                image.write((at + 1) * BLOCK as u64 - 16, &value);
                image.digest_of(Extent { start: at * BLOCK as u64, len: 3 * BLOCK as u64 })
            };
            prop_assert_eq!(digest(at), digest(to));
        }
    }

    #[test]
    fn a_medium_grows_and_keeps_what_it_holds() {
        let mut image = Image::new(5000, 7);
        image.write(4990, b"0123456789");
        image.grow(3 << 20);
        assert_eq!(image.bytes(4990, 12), b"0123456789\x07\x07");
        image.write((3 << 20) - 1, b"x");
        assert_eq!(image.bytes((3 << 20) - 2, 2), b"\x07x");
    }
}
