//! The tables of mapped devices, as the kernel documents them.

use std::path::{Path, PathBuf};

/// A target over a whole mapped device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The kernel's name of the target: `verity`, `linear`.
    pub target: &'static str,
    /// The device's length in bytes, a multiple of 512.
    pub len: u64,
    /// The target's parameters.
    pub parameters: String,
}

/// The description of a dm-verity device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    /// The device that holds both the data, from its start, and the tree.
    pub device: PathBuf,
    /// The number of data blocks of 4096 bytes.
    pub data_blocks: u64,
    /// Where the tree starts, in bytes, a multiple of 4096.
    pub tree_offset: u64,
    /// The root hash, in hex.
    pub root_hash: String,
    /// The salt, in hex; empty for none.
    pub salt: String,
}

impl Table {
    /// Makes a table that returns blocks of `verity.device` only when they match the root hash (and an I/O error
    /// otherwise).
    pub fn verity(verity: &Verity) -> Self {
        let Verity {
            device,
            data_blocks,
            tree_offset,
            root_hash,
            salt,
        } = verity;
        let device = device.display();
        let salt = if salt.is_empty() { "-" } else { salt };
        let tree = tree_offset / 4096;
        Table {
            target: "verity",
            len: data_blocks * 4096,
            parameters: format!(
                "1 {device} {device} 4096 4096 {data_blocks} {tree} sha256 {root_hash} {salt}"
            ),
        }
    }

    /// Makes a table that is a part of another device; offsets in bytes, multiples of 512.
    pub fn linear(device: &Path, offset: u64, len: u64) -> Self {
        Table {
            target: "linear",
            len,
            parameters: format!("{} {}", device.display(), offset / 512),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_match_the_kernels_documentation() {
        let verity = Verity {
            device: "/dev/vda4".into(),
            data_blocks: 10,
            tree_offset: 40960,
            root_hash: "aa".into(),
            salt: "bb".into(),
        };
        let table = Table::verity(&verity);
        assert_eq!(
            table.parameters,
            "1 /dev/vda4 /dev/vda4 4096 4096 10 10 sha256 aa bb"
        );
        assert_eq!((table.target, table.len), ("verity", 40960));
        let unsalted = Table::verity(&Verity {
            salt: String::new(),
            ..verity
        });
        assert!(unsalted.parameters.ends_with("aa -"));
        assert_eq!(
            Table::linear("/dev/dm-0".as_ref(), 8192, 4096).parameters,
            "/dev/dm-0 16"
        );
    }
}
