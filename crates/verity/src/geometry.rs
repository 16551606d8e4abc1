//! Where the hashes of a tree lie.

use crate::{BLOCK, HASHES_PER_BLOCK};

/// The shape of the tree over a number of data blocks.
///
/// Holding one proves that there is at least one data block and that no size in it overflows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    data_blocks: u64,
    /// Bottom level first: first block within the tree, and number of blocks.
    levels: Vec<Level>,
}

/// One level of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// First block, counted from the start of the tree.
    pub start: u64,
    /// Number of blocks.
    pub blocks: u64,
}

/// The reason why there is no tree over so many blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// There is nothing to hash.
    #[error("a hash tree needs at least one data block of {BLOCK} bytes")]
    Empty,
    /// The data is not made of whole blocks.
    #[error("{0} bytes of data are not a multiple of {BLOCK}: pad them with zeros")]
    NotWhole(u64),
    /// The sizes would overflow.
    #[error("{0} data blocks are more than a disk can hold")]
    TooLarge(u64),
}

impl Geometry {
    /// Works out the tree over `data_blocks` blocks.
    pub fn new(data_blocks: u64) -> Result<Self, GeometryError> {
        if data_blocks == 0 {
            return Err(GeometryError::Empty);
        }
        // The kernel counts 512-byte sectors in a signed 64-bit number.
        if data_blocks > (i64::MAX as u64) / BLOCK as u64 {
            return Err(GeometryError::TooLarge(data_blocks));
        }
        let mut levels = Vec::new();
        let mut below = data_blocks;
        while below > 1 {
            below = below.div_ceil(HASHES_PER_BLOCK as u64);
            levels.push(Level {
                start: 0,
                blocks: below,
            });
        }
        // On disk the top level comes first.
        let mut start = 0;
        for level in levels.iter_mut().rev() {
            level.start = start;
            start += level.blocks;
        }
        Ok(Self { data_blocks, levels })
    }

    /// Works out the tree over `data_len` bytes, which must be whole blocks.
    pub fn for_len(data_len: u64) -> Result<Self, GeometryError> {
        if !data_len.is_multiple_of(BLOCK as u64) {
            return Err(GeometryError::NotWhole(data_len));
        }
        Self::new(data_len / BLOCK as u64)
    }

    /// Returns the number of data blocks.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Returns the bytes of data.
    pub fn data_len(&self) -> u64 {
        self.data_blocks * BLOCK as u64
    }

    /// Returns the number of hash blocks: none when a single data block is its own root.
    pub fn tree_blocks(&self) -> u64 {
        self.levels.iter().map(|level| level.blocks).sum()
    }

    /// Returns the bytes of the tree.
    pub fn tree_len(&self) -> u64 {
        self.tree_blocks() * BLOCK as u64
    }

    /// Returns the levels, bottom first.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_lie_top_first() {
        for (data, tree) in [
            (1, 0),
            (2, 1),
            (128, 1),
            (129, 3),
            (128 * 128, 129),
            (128 * 128 + 1, 132),
        ] {
            assert_eq!(
                Geometry::new(data).unwrap().tree_blocks(),
                tree,
                "{data} data blocks"
            );
        }
        let geometry = Geometry::new(128 * 128 + 1).unwrap();
        assert_eq!(
            geometry
                .levels()
                .iter()
                .map(|level| level.start)
                .collect::<Vec<_>>(),
            [3, 1, 0]
        );
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert_eq!(Geometry::new(0), Err(GeometryError::Empty));
        assert_eq!(Geometry::new(u64::MAX), Err(GeometryError::TooLarge(u64::MAX)));
        assert_eq!(Geometry::for_len(4097), Err(GeometryError::NotWhole(4097)));
    }
}
