//! The blocks of the running slot, found by their hashes.

use std::io;

use medium::Medium;
use verity::{BLOCK, DIGEST, Digest, Groups};

/// Where the running slot holds a block with a given hash.
///
/// Both slots' trees have the same salt, so a hash from one tree finds a block of the other.
pub(crate) struct LocalBlocks {
    /// Sorted by hash. Of equal blocks one is enough.
    blocks: Vec<(Digest, u32)>,
    /// The hash that each block of the new image must have.
    wanted: Vec<Digest>,
}

impl LocalBlocks {
    /// Reads the leaf level of the running slot's tree; `leaves` is that of the new image. Blocks of the running slot
    /// that fail their check are left out.
    pub fn read(
        running: &mut dyn Medium,
        tree_offset: u64,
        old: &Groups,
        new: &Groups,
        leaves: &[u8],
    ) -> io::Result<Self> {
        let mut blocks = Vec::new();
        for group in 0..old.geometry().groups() {
            let Some(at) = old.geometry().leaf_block_at(group) else {
                break;
            };
            let mut block = [0; BLOCK];
            let read = running.read_at(tree_offset + at, &mut block);
            if read.is_ok() && old.check_leaves(group, &block).is_ok() {
                blocks.extend(hashes(&block, group, old.geometry().data_blocks()));
            }
        }
        blocks.sort_unstable();
        blocks.dedup_by_key(|(hash, _)| *hash);
        let wanted = leaves.as_chunks::<DIGEST>().0.iter().copied();
        let wanted = wanted
            .take(usize::try_from(new.geometry().data_blocks()).map_err(io::Error::other)?)
            .collect();
        Ok(LocalBlocks { blocks, wanted })
    }

    /// Finds a block of the running slot that is the same as block `number` of the new image.
    pub fn find(&self, number: u64) -> Option<u64> {
        let wanted = self.wanted.get(usize::try_from(number).ok()?)?;
        let found = self.blocks.binary_search_by(|(hash, _)| hash.cmp(wanted)).ok()?;
        Some(u64::from(self.blocks[found].1))
    }
}

/// Lists the hashes in a leaf block with the numbers of their blocks; the last leaf block is not full.
fn hashes(leaves: &[u8; BLOCK], group: u64, blocks: u64) -> impl Iterator<Item = (Digest, u32)> {
    let first = group * (BLOCK / DIGEST) as u64;
    let numbered = leaves.as_chunks::<DIGEST>().0.iter().copied().zip(first..blocks);
    numbered.filter_map(|(hash, number)| Some((hash, u32::try_from(number).ok()?)))
}
