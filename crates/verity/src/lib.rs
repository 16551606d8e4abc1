//! dm-verity hash trees: building them, and checking data against them.
//!
//! One format only: version 1, SHA-256, 4096-byte data and hash blocks, no superblock; what
//! `veritysetup --no-superblock` reads and what the kernel's `verity` target opens.
//! [`Geometry`] says where the hashes lie, [`build`] makes a tree, [`Verifier`] trusts a tree that
//! leads to a known root hash, and checks data with it. Never opens a device and never talks to the kernel.

mod build;
mod geometry;
mod groups;
mod verify;

pub use build::{Builder, Tree, build};
pub use geometry::{Geometry, GeometryError};
pub use groups::{GROUP, Groups};
pub use verify::{Verifier, VerifyError};

use sha2::{Digest as _, Sha256};

/// Bytes in a data block and in a hash block.
pub const BLOCK: usize = 4096;

/// Bytes in a hash.
pub const DIGEST: usize = 32;

/// Hashes in a hash block.
pub const HASHES_PER_BLOCK: usize = BLOCK / DIGEST;

/// A SHA-256 hash.
pub type Digest = [u8; DIGEST];

/// The salt of every Bedplate slot: SHA-256 of `bedplate slot`.
///
/// It is the same in all releases on purpose: equal blocks have equal hashes wherever they lie, so that the
/// tree of one release is an index into the blocks of another.
pub const SALT: Digest = [
    0xc5, 0xd2, 0xd7, 0x98, 0x95, 0xbf, 0xb3, 0x8c, 0xc5, 0x4b, 0xc1, 0xb1, 0x5f, 0x32, 0xfc, 0xff, 0x11,
    0xf6, 0x1a, 0x65, 0x6f, 0xdf, 0x7e, 0x50, 0x06, 0x4e, 0x9d, 0x73, 0xa0, 0xba, 0xab, 0xaf,
];

/// Hashes one block as dm-verity version 1 does: salt first.
pub fn hash_block(salt: &[u8], block: &[u8; BLOCK]) -> Digest {
    Sha256::new()
        .chain_update(salt)
        .chain_update(block)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_salt_is_what_its_doc_says() {
        assert_eq!(SALT, <Digest>::from(Sha256::digest(b"bedplate slot")));
    }
}
