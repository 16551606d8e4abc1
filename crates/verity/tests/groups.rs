//! Whole groups prove themselves with the tree above the leaves, and give back the leaf level.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::sync::LazyLock;

use proptest::prelude::*;
use verity::{BLOCK, GROUP, Geometry, Groups, SALT, Tree, VerifyError, build};

fn data(blocks: u64) -> Vec<u8> {
    let block = |number: u64| [(number % 251) as u8 + 1; BLOCK];
    (0..blocks).flat_map(block).collect()
}

fn groups(data: &[u8]) -> (Groups, Tree) {
    let geometry = Geometry::for_len(data.len() as u64).unwrap();
    let tree = build(&mut &data[..], &geometry, &SALT).unwrap();
    let upper = tree.bytes[..geometry.upper_len() as usize].to_vec();
    (Groups::new(geometry, &SALT, tree.root, upper).unwrap(), tree)
}

#[test]
fn groups_give_back_the_leaf_level() {
    for blocks in [1, 2, 127, 128, 129, 300, 128 * 128 + 1] {
        let data = data(blocks);
        let (groups, tree) = groups(&data);
        let mut rebuilt = groups.upper().to_vec();
        rebuilt.resize(tree.bytes.len(), 0);
        for (number, group) in data.chunks(GROUP).enumerate() {
            let leaves = groups.check(number as u64, group).unwrap();
            let at = groups.geometry().leaf_block_at(number as u64);
            assert_eq!(at.is_some(), leaves.is_some(), "{blocks} blocks");
            if let (Some(at), Some(leaves)) = (at, leaves) {
                rebuilt[at as usize..at as usize + BLOCK].copy_from_slice(&leaves);
            }
        }
        assert_eq!(rebuilt, tree.bytes, "{blocks} blocks");
        let count = groups.geometry().groups();
        assert_eq!(count, blocks.div_ceil(128));
        assert_eq!(groups.hash(count), None);
        assert!(groups.check(count, &[]).is_err());
    }
}

#[test]
fn a_group_is_taken_whole_or_not_at_all() {
    let data = data(130);
    let (groups, _) = groups(&data);
    assert!(groups.check(0, &data[..GROUP]).is_ok());
    assert!(groups.check(0, &data[..GROUP - BLOCK]).is_err());
    assert!(groups.check(0, &data[BLOCK..GROUP + BLOCK]).is_err());
    assert!(groups.check(1, &data[GROUP..]).is_ok());
    assert!(groups.check(1, &data[GROUP..GROUP + BLOCK + 1]).is_err());
}

/// A tree of three levels: made once, it is over 64 MiB.
static LARGE: LazyLock<(Groups, Tree)> = LazyLock::new(|| groups(&data(128 * 128 + 1)));

proptest! {
    #[test]
    fn one_wrong_bit_anywhere_is_found(blocks in 1u64..400, at: prop::sample::Index, bit in 0u8..8) {
        let mut data = data(blocks);
        let (groups, _) = groups(&data);
        let at = at.index(data.len());
        data[at] ^= 1 << bit;
        let group = at / GROUP;
        let piece = data.chunks(GROUP).nth(group).unwrap();
        prop_assert!(matches!(groups.check(group as u64, piece), Err(VerifyError::Data(_))));
    }

    #[test]
    fn one_wrong_bit_in_the_upper_tree_is_found(at: prop::sample::Index, bit in 0u8..8) {
        let (groups, tree) = &*LARGE;
        let mut upper = groups.upper().to_vec();
        let at = at.index(upper.len());
        upper[at] ^= 1 << bit;
        prop_assert!(Groups::new(groups.geometry().clone(), &SALT, tree.root, upper).is_err());
    }
}
