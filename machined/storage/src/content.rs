//! What a partition holds, and what is to be done with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first block: boot block and superblock. mke2fs writes the superblock last of all, so a format that was cut
/// short leaves this blank.
pub const HEAD: usize = 4096;
const MAGIC_AT: usize = 1024 + 56;
const MAGIC: [u8; 2] = [0x53, 0xef];

/// Says what the head of a partition looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Nothing but zeros, as the flash tool and a reset leave it.
    Blank,
    /// An ext file system.
    Ext4,
    /// Something else, or a file system whose head is damaged.
    Unknown,
}

/// Says what is to be done before a partition is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make a file system.
    Format,
    /// Check the file system, from its superblock.
    Check,
    /// Check the file system, from a spare superblock: never format what may be somebody's data.
    Rescue,
}

/// Looks at the head of a partition.
pub fn look(head: &[u8]) -> Content {
    if head.iter().all(|byte| *byte == 0) {
        Content::Blank
    } else if head.get(MAGIC_AT..MAGIC_AT + 2) == Some(&MAGIC) {
        Content::Ext4
    } else {
        Content::Unknown
    }
}

/// Decides what is to be done with what was found. Where something was `written` before, a blank head is damage, and the
/// file system behind it can be rescued.
pub fn decide(content: Content, written: bool) -> Step {
    match content {
        Content::Blank if !written => Step::Format,
        Content::Ext4 => Step::Check,
        Content::Blank | Content::Unknown => Step::Rescue,
    }
}

/// Reads the head of a partition.
pub fn read_head(device: &Path) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    File::open(device)?.read_exact(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ext4() -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[MAGIC_AT..MAGIC_AT + 2].copy_from_slice(&MAGIC);
        head
    }

    #[test]
    fn only_blank_partitions_are_formatted() {
        assert_eq!(decide(look(&vec![0; HEAD]), false), Step::Format);
        assert_eq!(decide(look(&ext4()), false), Step::Check);
    }

    #[test]
    fn what_was_written_before_is_never_formatted() {
        for head in [vec![0; HEAD], vec![7; HEAD], ext4()] {
            assert_ne!(decide(look(&head), true), Step::Format);
        }
    }

    proptest! {
        #[test]
        fn one_byte_of_somebodys_data_forbids_formatting(at in 0..HEAD, byte in 1u8..) {
            let mut head = vec![0; HEAD];
            head[at] = byte;
            prop_assert_ne!(decide(look(&head), false), Step::Format);
        }
    }
}
