//! The same trees as `veritysetup` makes, and nothing tampered with passes.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use proptest::prelude::*;
use verity::{BLOCK, Geometry, SALT, Verifier, build};

/// Makes data in which no two blocks are alike.
fn data(blocks: u64) -> Vec<u8> {
    (0..blocks)
        .flat_map(|n| std::iter::repeat_n(n.to_le_bytes(), BLOCK / 8))
        .flatten()
        .collect()
}

fn verifier(data: &[u8]) -> Verifier {
    let geometry = Geometry::for_len(data.len() as u64).unwrap();
    let tree = build(&mut &data[..], &geometry, &SALT).unwrap();
    Verifier::new(geometry, &SALT, tree.root, tree.bytes).unwrap()
}

#[test]
fn trees_are_veritysetups() {
    let dir = tempfile::tempdir().unwrap();
    let (image, hashes) = (dir.path().join("data"), dir.path().join("hashes"));
    for blocks in [1, 2, 127, 128, 129, 128 * 128 + 1] {
        let data = data(blocks);
        fs::write(&image, &data).unwrap();
        fs::write(&hashes, b"").unwrap();
        let output = match Command::new("veritysetup")
            .args(["format", "--no-superblock", "--format=1", "--hash=sha256"])
            .args(["--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--data-blocks={blocks}"))
            .arg(format!("--salt={}", hex::encode(SALT)))
            .args([&image, &hashes])
            .output()
        {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: veritysetup is not installed (package cryptsetup-bin)");
                return;
            }
            other => other.unwrap(),
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8(output.stdout).unwrap();
        let root = said
            .lines()
            .find_map(|line| line.strip_prefix("Root hash:"))
            .unwrap()
            .trim()
            .to_owned();

        let geometry = Geometry::new(blocks).unwrap();
        let tree = build(&mut &data[..], &geometry, &SALT).unwrap();
        assert_eq!(hex::encode(tree.root), root, "{blocks} blocks");
        let theirs = fs::read(&hashes).unwrap();
        assert_eq!(tree.bytes, theirs[..tree.bytes.len()], "{blocks} blocks");
    }
}

#[test]
fn every_block_of_good_data_passes() {
    for blocks in [1, 2, 129, 300] {
        let data = data(blocks);
        let verifier = verifier(&data);
        for (index, block) in data.as_chunks::<BLOCK>().0.iter().enumerate() {
            verifier.check(index as u64, block).unwrap();
        }
        assert!(verifier.check(blocks, &[0; BLOCK]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_of_any_length_make_the_same_tree(cuts in proptest::collection::vec(1usize..9000, 1..20)) {
        let data = data(40);
        let geometry = Geometry::new(40).unwrap();
        let mut builder = verity::Builder::new(geometry.clone(), &SALT);
        let mut rest = &data[..];
        for cut in cuts.into_iter().cycle() {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            builder.update(piece);
            rest = after;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(builder.finish().unwrap(), build(&mut &data[..], &geometry, &SALT).unwrap());
    }

    #[test]
    fn a_flipped_bit_in_the_data_is_seen(block in 0u64..300, byte in 0..BLOCK, bit in 0..8) {
        let mut data = data(300);
        let verifier = verifier(&data);
        data[block as usize * BLOCK + byte] ^= 1u8 << bit;
        let tampered = &data.as_chunks::<BLOCK>().0[block as usize];
        prop_assert!(verifier.check(block, tampered).is_err());
    }

    #[test]
    fn a_flipped_bit_in_the_tree_is_seen(byte in 0..4 * BLOCK, bit in 0..8) {
        let data = data(300);
        let geometry = Geometry::new(300).unwrap();
        let mut tree = build(&mut &data[..], &geometry, &SALT).unwrap();
        tree.bytes[byte] ^= 1u8 << bit;
        prop_assert!(Verifier::new(geometry, &SALT, tree.root, tree.bytes).is_err());
    }
}
