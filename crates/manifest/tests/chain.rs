//! Keys that come and go, and areas that are torn, damaged or forged.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use std::sync::LazyLock;

use manifest::TrustedKey;
use manifest::chain::{
    self, AREA, ChainError, HEADER, Link, MAX_LINKS, decode, encode, extend, follow, load,
};
use proptest::prelude::*;
use support::{Signer, sample};

/// Four parties who could sign.
static SIGNERS: LazyLock<[Signer; 4]> = LazyLock::new(|| std::array::from_fn(|_| Signer::new()));

fn keys(who: &[usize]) -> Vec<TrustedKey> {
    who.iter().map(|&number| SIGNERS[number].key()).collect()
}

/// A release with a version, signed by some, that trusts some.
fn release(version: &str, signed_by: &[usize], trusts: &[usize]) -> Link {
    let mut manifest = sample();
    manifest.version = version.parse().unwrap();
    manifest.keys = keys(trusts);
    let json = manifest.to_json().unwrap();
    let signatures = signed_by
        .iter()
        .flat_map(|&number| SIGNERS[number].sign(&json))
        .collect();
    Link { json, signatures }
}

#[test]
fn keys_are_added_and_retired() {
    let adds = release("0.2.0", &[0], &[0, 1]);
    let retires = release("0.3.0", &[1], &[1]);
    assert_eq!(follow(&keys(&[0]), &[]), keys(&[0]));
    assert_eq!(follow(&keys(&[0]), std::slice::from_ref(&adds)), keys(&[0, 1]));
    assert_eq!(follow(&keys(&[0]), &[adds.clone(), retires.clone()]), keys(&[1]));
    // Key 0 is retired: what it signs afterwards is no link any more.
    let late = release("0.4.0", &[0], &[0]);
    assert_eq!(follow(&keys(&[0]), &[adds, retires, late]), keys(&[1]));
}

#[test]
fn what_no_trusted_key_signed_ends_the_way() {
    let strange = release("0.2.0", &[2], &[2]);
    let later = release("0.3.0", &[0], &[0, 1]);
    assert_eq!(follow(&keys(&[0]), &[strange, later]), keys(&[0]));
    let mut forged = release("0.2.0", &[0], &[0, 1]);
    forged.json = release("0.2.0", &[0], &[0, 2]).json;
    assert_eq!(follow(&keys(&[0]), &[forged]), keys(&[0]));
}

/// Signed by the old key alone, and trusting the new one alone: the loader would refuse this very release.
#[test]
fn a_release_that_would_lock_itself_out_is_no_link() {
    let suicidal = release("0.2.0", &[0], &[1]);
    assert_eq!(follow(&keys(&[0]), std::slice::from_ref(&suicidal)), keys(&[0]));
    assert_eq!(extend(&[], suicidal), Err(ChainError::Disowned));
    let silent = release("0.2.0", &[0], &[]);
    assert_eq!(follow(&keys(&[0]), std::slice::from_ref(&silent)), keys(&[0]));
    assert_eq!(extend(&[], silent), Err(ChainError::Disowned));
    let both = release("0.2.0", &[0, 1], &[1]);
    assert_eq!(follow(&keys(&[0]), &[both]), keys(&[1]));
}

#[test]
fn a_chain_grows_by_what_is_needed() {
    let first = release("0.2.0", &[0], &[0, 1]);
    let second = release("0.3.0", &[1], &[1, 2]);
    let third = release("0.4.0", &[1, 2], &[2]);
    let chain = extend(&[], first.clone()).unwrap();
    let chain = extend(&chain, second).unwrap();
    assert_eq!(chain.len(), 2);
    // The first link trusts key 1 already, which signed the third release: the second is not needed.
    let chain = extend(&chain, third.clone()).unwrap();
    assert_eq!(chain, [first, third]);
    assert_eq!(follow(&keys(&[0]), &chain), keys(&[2]));
    assert_eq!(chain::end(&chain), Some(keys(&[2])));
    // Nobody on the chain vouches for it, and yet it runs: the loader's own keys must.
    let other = release("0.5.0", &[3], &[3]);
    assert_eq!(extend(&chain, other.clone()).unwrap(), [other]);
}

#[test]
fn the_area_is_bounded() {
    let link = |len| Link {
        json: vec![b'x'; len],
        signatures: vec![b'y'; 300],
    };
    let most = vec![link(7000); MAX_LINKS];
    let bytes = encode(7, &most).unwrap();
    assert_eq!(decode(&bytes).unwrap(), (7, most.clone()));
    assert!(matches!(
        encode(0, &vec![link(10); MAX_LINKS + 1]),
        Err(ChainError::TooLong { .. })
    ));
    assert!(matches!(
        encode(0, &vec![link(8000); MAX_LINKS]),
        Err(ChainError::TooLong { .. })
    ));
    assert!(matches!(
        encode(0, &[link(manifest::MAX_JSON + 1)]),
        Err(ChainError::TooLong { .. })
    ));
    assert!(bytes.len() <= AREA && chain::stored_len(&bytes[..HEADER]) == bytes.len());
}

#[test]
fn what_is_not_there_is_no_chain() {
    assert_eq!(decode(&[0; AREA]), Err(ChainError::Missing));
    assert_eq!(decode(&[]), Err(ChainError::Missing));
    let mut newer = encode(1, &[]).unwrap();
    newer[8] = 2;
    assert_eq!(decode(&newer), Err(ChainError::Format(2)));
    assert_eq!(
        (chain::stored_len(&newer), chain::stored_len(&[0; HEADER])),
        (0, 0)
    );
    let neither = load([&[0; 64], &newer]);
    assert_eq!(
        (neither.links.len(), neither.generation, neither.write_to),
        (0, 0, 0)
    );
}

proptest! {
    #[test]
    fn whatever_lies_there_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 12 {
            bytes[..12].copy_from_slice(b"BPCHAIN1\x01\0\0\0");
        }
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(chain::stored_len(&bytes) <= AREA);
    }

    #[test]
    fn a_flipped_bit_is_never_a_chain(
        generation: u64, lens in proptest::collection::vec((0usize..200, 0usize..50), 0..5), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let links: Vec<Link> =
            lens.iter().map(|&(json, signatures)| Link { json: vec![1; json], signatures: vec![2; signatures] }).collect();
        let mut bytes = encode(generation, &links).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap(), (generation, links));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes).is_err());
    }

    /// Cut a write at any byte: the chain is the old one or the new one.
    #[test]
    fn a_torn_write_loses_nothing(cut: prop::sample::Index, generation: u64, write_to in 0usize..2) {
        let link = |text: &str| Link { json: text.as_bytes().to_vec(), signatures: vec![3; 40] };
        let (older, old, new) = (vec![], vec![link("old")], vec![link("old"), link("new")]);
        let mut copies = [vec![0; AREA], vec![0; AREA]];
        let write = |copy: &mut Vec<u8>, bytes: &[u8]| copy[..bytes.len()].copy_from_slice(bytes);
        write(&mut copies[write_to], &encode(generation.wrapping_sub(1), &older).unwrap());
        write(&mut copies[1 - write_to], &encode(generation, &old).unwrap());
        let before = load([&copies[0], &copies[1]]);
        prop_assert_eq!((&before.links, before.write_to), (&old, write_to));
        let bytes = encode(before.generation.wrapping_add(1), &new).unwrap();
        let cut = cut.index(bytes.len() + 1);
        write(&mut copies[before.write_to], &bytes[..cut]);
        let after = load([&copies[0], &copies[1]]);
        prop_assert_eq!(&after.links, if cut == bytes.len() { &new } else { &old });
    }

    /// Whoever signs what for whom: the keys at the end were brought by a release that somebody trusted had signed.
    #[test]
    fn trust_is_only_handed_on(
        releases in proptest::collection::vec((proptest::collection::btree_set(0usize..4, 0..3), proptest::collection::btree_set(0usize..4, 0..3)), 0..5),
    ) {
        let releases: Vec<(Vec<usize>, Vec<usize>)> =
            releases.into_iter().map(|(by, trusts)| (by.into_iter().collect(), trusts.into_iter().collect())).collect();
        let links: Vec<Link> = releases.iter().map(|(by, trusts)| release("0.2.0", by, trusts)).collect();
        let mut trusted = vec![0];
        for (by, brings) in &releases {
            let signed = |keys: &[usize]| by.iter().any(|key| keys.contains(key));
            if !(signed(&trusted) && signed(brings)) {
                break;
            }
            trusted.clone_from(brings);
        }
        prop_assert_eq!(follow(&keys(&[0]), &links), keys(&trusted));
    }
}
