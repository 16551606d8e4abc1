//! Checking data by groups of blocks, without the leaf level of the tree.
//!
//! A group is what one hash block of the leaf level covers: 128 data blocks. Its leaf hashes can be worked out from the
//! data, and the hash of the hash block they make is in the level above. So whoever holds whole groups of data needs only
//! the tree above the leaves, which is 1/128 of it, to prove them; and gets the leaf level for nothing.

use crate::{BLOCK, DIGEST, Digest, Geometry, HASHES_PER_BLOCK, VerifyError, hash_block};

/// Bytes of data in a group; the last one may have fewer.
pub const GROUP: usize = HASHES_PER_BLOCK * BLOCK;

/// The tree above the leaf level, checked from the root down.
///
/// Holding one proves that every group hash in it is vouched for by the root hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    geometry: Geometry,
    salt: Vec<u8>,
    upper: Vec<u8>,
    hashes: Vec<Digest>,
}

impl Geometry {
    /// Returns the number of groups, which is that of hash blocks in the leaf level.
    pub fn groups(&self) -> u64 {
        self.data_blocks().div_ceil(HASHES_PER_BLOCK as u64)
    }

    /// Returns the bytes of the tree above the leaf level; they are the first of the tree.
    pub fn upper_len(&self) -> u64 {
        let leaf_blocks = self.levels().first().map_or(0, |level| level.blocks);
        (self.tree_blocks() - leaf_blocks) * BLOCK as u64
    }

    /// Returns where a group's hash block lies in the tree, or `None` when there is no such group or no tree at all.
    pub fn leaf_block_at(&self, group: u64) -> Option<u64> {
        let leaf = self.levels().first().filter(|level| group < level.blocks)?;
        Some((leaf.start + group) * BLOCK as u64)
    }

    /// Returns the bytes of data in a group.
    pub fn group_len(&self, group: u64) -> usize {
        let left = self.data_len().saturating_sub(group.saturating_mul(GROUP as u64));
        usize::try_from(left).unwrap_or(GROUP).min(GROUP)
    }
}

impl Groups {
    /// Checks the tree above the leaves from the root down.
    pub fn new(geometry: Geometry, salt: &[u8], root: Digest, upper: Vec<u8>) -> Result<Self, VerifyError> {
        if upper.len() as u64 != geometry.upper_len() {
            return Err(VerifyError::Length {
                expected: geometry.upper_len(),
                actual: upper.len() as u64,
            });
        }
        let mut hashes = vec![root];
        let (blocks, _) = upper.as_chunks::<BLOCK>();
        let above = geometry.levels().iter().skip(1).rev();
        for level in above {
            let mut below = Vec::with_capacity(level.blocks as usize * HASHES_PER_BLOCK);
            for index in 0..level.blocks {
                let at = level.start + index;
                let block = &blocks[at as usize];
                if hashes.get(index as usize) != Some(&hash_block(salt, block)) {
                    return Err(VerifyError::Tree(at));
                }
                below.extend_from_slice(block.as_chunks::<DIGEST>().0);
            }
            hashes = below;
        }
        hashes.truncate(geometry.groups() as usize);
        Ok(Self {
            geometry,
            salt: salt.to_vec(),
            upper,
            hashes,
        })
    }

    /// Returns the shape of the tree.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the bytes that it was made of.
    pub fn upper(&self) -> &[u8] {
        &self.upper
    }

    /// Returns the hash that vouches for a group.
    pub fn hash(&self, group: u64) -> Option<Digest> {
        self.hashes.get(usize::try_from(group).ok()?).copied()
    }

    /// Checks a whole group; returns its hash block of the leaf level, or nothing when one block is the whole image.
    pub fn check(&self, group: u64, data: &[u8]) -> Result<Option<[u8; BLOCK]>, VerifyError> {
        let first = group.saturating_mul(HASHES_PER_BLOCK as u64);
        let expected = self.hash(group).ok_or(VerifyError::Beyond(first))?;
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        if !rest.is_empty() || data.len() != self.geometry.group_len(group) {
            return Err(VerifyError::Data(first));
        }
        let mut leaves = [0; BLOCK];
        for (leaf, block) in leaves.as_chunks_mut::<DIGEST>().0.iter_mut().zip(blocks) {
            *leaf = hash_block(&self.salt, block);
        }
        if self.geometry.tree_blocks() == 0 {
            let alone = leaves.first_chunk::<DIGEST>() == Some(&expected);
            return alone.then_some(None).ok_or(VerifyError::Data(first));
        }
        self.check_leaves(group, &leaves)?;
        Ok(Some(leaves))
    }

    /// Checks a group's hash block of the leaf level.
    pub fn check_leaves(&self, group: u64, leaves: &[u8; BLOCK]) -> Result<(), VerifyError> {
        let first = group.saturating_mul(HASHES_PER_BLOCK as u64);
        match self.hash(group) {
            Some(expected) if hash_block(&self.salt, leaves) == expected => Ok(()),
            Some(_) => Err(VerifyError::Data(first)),
            None => Err(VerifyError::Beyond(first)),
        }
    }
}
