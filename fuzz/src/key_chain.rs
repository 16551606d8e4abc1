//! The key chain: its bytes, its two copies, and the keys a loader trusts at its end.

use arbitrary::{Arbitrary, Unstructured};
use manifest::TrustedKey;
use manifest::chain::{self, AREA, HEADER, Link, MAX_LINKS};

use crate::sample::{self, Signer};

/// Any bytes are a chain with one form, or an error; and whatever a chain says, only keys named by trusted keys are trusted.
pub fn chain(data: &[u8]) {
    bytes(data);
    if let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) {
        case.check();
    }
}

fn bytes(data: &[u8]) {
    let repaired = repair(data);
    for copy in [data, &repaired] {
        let Ok((generation, links)) = chain::decode(copy) else {
            continue;
        };
        let len = chain::stored_len(copy);
        assert!((HEADER..=AREA).contains(&len) && links.len() <= MAX_LINKS);
        let again = chain::encode(generation, &links).expect("what was read can be written");
        assert!(again == copy[..len], "one chain, one form");
        // Nobody trusted signed any of these.
        assert_eq!(
            chain::follow(&[Signer::number(0).key()], &links),
            [Signer::number(0).key()]
        );
        chain::end(&links);
    }
    let (first, second) = data.split_at(data.len() / 2);
    for pair in [
        [data, &repaired],
        [&repaired, data],
        [first, second],
        [&repaired, &repaired],
    ] {
        let found = chain::load(pair);
        let valid = pair.map(|copy| chain::decode(copy).is_ok());
        assert!(
            valid != [true, false] || found.write_to == 1,
            "the only valid copy is not written over"
        );
        assert!(
            valid != [false, true] || found.write_to == 0,
            "the only valid copy is not written over"
        );
        assert!(valid != [false; 2] || found.links.is_empty());
    }
}

/// Repairs what a fuzzer does not guess: magic, format, length and checksum.
fn repair(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(HEADER), 0);
    let body = (bytes.len() - HEADER) as u32;
    bytes[..8].copy_from_slice(b"BPCHAIN1");
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    bytes[28..32].copy_from_slice(&body.to_le_bytes());
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A loader's keys, and releases. Keys are bits of a number: there are eight.
#[derive(Debug, Arbitrary)]
struct Case {
    own: u8,
    releases: Vec<Release>,
}

#[derive(Debug, Arbitrary)]
struct Release {
    /// The keys that signed it.
    signers: u8,
    /// The keys that it trusts.
    keys: u8,
    /// Set when it was changed after it was signed.
    forged: bool,
}

impl Case {
    fn check(&self) {
        let releases = &self.releases[..self.releases.len().min(4)];
        let links: Vec<Link> = releases.iter().map(link).collect();
        let mut trusted = self.own;
        for release in releases {
            // Signed by a trusted key, and by one that will be trusted.
            if release.forged || release.signers & trusted == 0 || release.signers & release.keys == 0 {
                break;
            }
            trusted = release.keys;
        }
        assert_eq!(chain::follow(&keys(self.own), &links), keys(trusted));

        let mut made = Vec::new();
        let mut trusted = self.own;
        for (release, link) in releases.iter().zip(links) {
            // A release that the loader does not trust does not run, and cannot make the chain longer.
            if release.forged || release.signers & trusted == 0 {
                continue;
            }
            match chain::extend(&made, link) {
                Ok(longer) => {
                    assert!(release.signers & release.keys != 0);
                    (made, trusted) = (longer, release.keys);
                    assert_eq!(
                        chain::follow(&keys(self.own), &made),
                        keys(trusted),
                        "the path is kept"
                    );
                    assert_eq!(chain::end(&made), Some(keys(trusted)));
                }
                Err(_) => assert!(
                    release.signers & release.keys == 0,
                    "an unmodified release is accepted"
                ),
            }
        }
    }
}

fn keys(bits: u8) -> Vec<TrustedKey> {
    numbers(bits).map(|number| Signer::number(number).key()).collect()
}

fn numbers(bits: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |number| bits >> number & 1 == 1)
}

fn link(release: &Release) -> Link {
    let mut manifest = sample::manifest();
    manifest.keys = keys(release.keys);
    let mut json = manifest.to_json().expect("the manifest is sound");
    let signatures: String = numbers(release.signers)
        .map(|number| Signer::number(number).sign(&json))
        .collect();
    if release.forged {
        // Still a valid manifest: another year.
        manifest.created += 1;
        json = manifest.to_json().expect("the manifest is sound");
    }
    Link {
        json,
        signatures: signatures.into_bytes(),
    }
}
