//! Making a tree.

use std::io::{self, Read};

use crate::{BLOCK, DIGEST, Digest, Geometry, HASHES_PER_BLOCK, hash_block};

/// A finished tree, and the hash that vouches for it and for the data under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The hash blocks as they lie on disk: top level first.
    pub bytes: Vec<u8>,
    /// The root hash.
    pub root: Digest,
}

/// Makes a tree from data that arrives piece by piece.
///
/// Keeps one hash per data block in memory, 1/128 of the data.
pub struct Builder {
    geometry: Geometry,
    salt: Vec<u8>,
    partial: Vec<u8>,
    leaves: Vec<u8>,
}

impl Builder {
    /// Starts a tree of the given shape.
    pub fn new(geometry: Geometry, salt: &[u8]) -> Self {
        Self {
            geometry,
            salt: salt.to_vec(),
            partial: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Takes the next bytes of data, in pieces of any length.
    pub fn update(&mut self, mut data: &[u8]) {
        if !self.partial.is_empty() {
            let take = data.len().min(BLOCK - self.partial.len());
            self.partial.extend_from_slice(&data[..take]);
            data = &data[take..];
            if let Ok(block) = <&[u8; BLOCK]>::try_from(self.partial.as_slice()) {
                self.leaves.extend_from_slice(&hash_block(&self.salt, block));
                self.partial.clear();
            }
        }
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        for block in blocks {
            self.leaves.extend_from_slice(&hash_block(&self.salt, block));
        }
        self.partial.extend_from_slice(rest);
    }

    /// Finishes the tree; an error when more or fewer bytes came than the geometry says.
    pub fn finish(self) -> io::Result<Tree> {
        let came = (self.leaves.len() / DIGEST * BLOCK + self.partial.len()) as u64;
        let expected = self.geometry.data_len();
        if came != expected {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the hash tree is over {expected} bytes of data, but {came} came"),
            ));
        }
        Ok(tree_over(&self.geometry, &self.salt, self.leaves))
    }
}

/// Makes the tree over exactly the geometry's bytes of `data`.
pub fn build(data: &mut impl Read, geometry: &Geometry, salt: &[u8]) -> io::Result<Tree> {
    let mut builder = Builder::new(geometry.clone(), salt);
    let mut buffer = vec![0; 256 * BLOCK];
    let mut left = geometry.data_len();
    while left > 0 {
        let chunk = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        data.read_exact(&mut buffer[..chunk])?;
        builder.update(&buffer[..chunk]);
        left -= chunk as u64;
    }
    builder.finish()
}

/// Stacks the levels over the leaf hashes.
fn tree_over(geometry: &Geometry, salt: &[u8], leaves: Vec<u8>) -> Tree {
    let mut bytes = vec![0; usize::try_from(geometry.tree_len()).expect("the leaves were in memory")];
    let mut hashes = leaves;
    for level in geometry.levels() {
        let start = level.start as usize * BLOCK;
        let end = start + level.blocks as usize * BLOCK;
        bytes[start..start + hashes.len()].copy_from_slice(&hashes);
        let (blocks, _) = bytes[start..end].as_chunks::<BLOCK>();
        hashes = blocks.iter().flat_map(|block| hash_block(salt, block)).collect();
        debug_assert!(hashes.len() <= blocks.len().div_ceil(HASHES_PER_BLOCK) * BLOCK);
    }
    let root = hashes.try_into().expect("the top of the stack is one hash");
    Tree { bytes, root }
}
