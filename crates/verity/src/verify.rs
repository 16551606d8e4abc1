//! Checking data against a tree.

use crate::{BLOCK, DIGEST, Digest, Geometry, hash_block};

/// A tree that leads to the root hash it was made with.
///
/// Holding one proves that every hash in it is vouched for by the root; what [`check`](Self::check) accepts is
/// therefore exactly what the kernel would hand out.
#[derive(Debug, Clone)]
pub struct Verifier {
    geometry: Geometry,
    salt: Vec<u8>,
    root: Digest,
    tree: Vec<u8>,
}

/// The part of the data or tree that does not match the root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The tree has the wrong length for its geometry.
    #[error("the hash tree should be {expected} bytes, but is {actual}")]
    Length {
        /// What the geometry asks for.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A block of the tree is not the one its parent vouches for.
    #[error("hash block {0} of the tree does not match its parent")]
    Tree(u64),
    /// A data block is not the one the tree vouches for.
    #[error("data block {0} does not match the hash tree")]
    Data(u64),
    /// The data is longer than the tree.
    #[error("data block {0} lies beyond the hash tree")]
    Beyond(u64),
}

impl Verifier {
    /// Checks a whole tree from the root down.
    pub fn new(geometry: Geometry, salt: &[u8], root: Digest, tree: Vec<u8>) -> Result<Self, VerifyError> {
        if tree.len() as u64 != geometry.tree_len() {
            return Err(VerifyError::Length {
                expected: geometry.tree_len(),
                actual: tree.len() as u64,
            });
        }
        let (blocks, _) = tree.as_chunks::<BLOCK>();
        let mut parent: Option<u64> = None;
        for level in geometry.levels().iter().rev() {
            for index in 0..level.blocks {
                let at = level.start + index;
                let expected = match parent {
                    None => root,
                    Some(start) => digest_at(&tree, start, index),
                };
                if hash_block(salt, &blocks[at as usize]) != expected {
                    return Err(VerifyError::Tree(at));
                }
            }
            parent = Some(level.start);
        }
        Ok(Self {
            geometry,
            salt: salt.to_vec(),
            root,
            tree,
        })
    }

    /// Returns the shape of the tree.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the hash that data block `index` must have, or `None` beyond the data.
    pub fn leaf(&self, index: u64) -> Option<Digest> {
        if index >= self.geometry.data_blocks() {
            return None;
        }
        Some(match self.geometry.levels().first() {
            None => self.root,
            Some(bottom) => digest_at(&self.tree, bottom.start, index),
        })
    }

    /// Checks one data block.
    pub fn check(&self, index: u64, block: &[u8; BLOCK]) -> Result<(), VerifyError> {
        let leaf = self.leaf(index).ok_or(VerifyError::Beyond(index))?;
        if hash_block(&self.salt, block) == leaf {
            Ok(())
        } else {
            Err(VerifyError::Data(index))
        }
    }
}

/// Reads hash `index` of the level that starts at block `level` of the tree.
fn digest_at(tree: &[u8], level: u64, index: u64) -> Digest {
    let at = level as usize * BLOCK + index as usize * DIGEST;
    tree[at..at + DIGEST]
        .try_into()
        .expect("the slice has the digest's length")
}
