//! The checksum of a config that is filed in STATE.
//!
//! It stands in the first line, which is a comment: releases that know no checksums read the document all the same.

use manifest::Digest;

const MARK: &str = "# sha256 ";
/// What a document begins with that was filed by a release that knew no checksums.
const UNSEALED: &str = "apiVersion:";
/// The most bytes that a sealed document has.
pub(super) const MAX: usize = MARK.len() + 64 + 1 + machine_config::LIMIT;

/// What a file of STATE turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// The document, as it was filed.
    Intact(String),
    /// A document without a checksum.
    Unsealed(String),
    /// Neither: it was changed or cut short since.
    Damaged,
}

/// Puts the checksum before a document.
pub(super) fn seal(yaml: &str) -> String {
    format!("{MARK}{}\n{yaml}", Digest::of(yaml.as_bytes()))
}

/// Takes the checksum off a document, and says whether it holds.
pub(super) fn open(bytes: &[u8]) -> Opened {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Opened::Damaged;
    };
    if text.starts_with(UNSEALED) {
        return Opened::Unsealed(text.to_owned());
    }
    let sealed = text.strip_prefix(MARK).and_then(|rest| rest.split_once('\n'));
    match sealed {
        Some((sum, yaml)) if sum == Digest::of(yaml.as_bytes()).to_string() => {
            Opened::Intact(yaml.to_owned())
        }
        _ => Opened::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use state::testkit::config;

    use super::*;

    #[test]
    fn a_sealed_document_is_still_one_and_an_older_release_files_unsealed_ones() {
        let yaml = config().to_yaml_with_secrets();
        assert_eq!(machine_config::parse(&seal(&yaml)).unwrap(), config());
        assert_eq!(open(yaml.as_bytes()), Opened::Unsealed(yaml));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_or_a_cut_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8) {
            let yaml = config().to_yaml_with_secrets();
            let sealed = seal(&yaml).into_bytes();
            prop_assert_eq!(open(&sealed), Opened::Intact(yaml));
            let mut flipped = sealed.clone();
            flipped[at.index(sealed.len())] ^= 1u8 << bit;
            prop_assert_eq!(open(&flipped), Opened::Damaged);
            prop_assert_eq!(open(&sealed[..at.index(sealed.len())]), Opened::Damaged);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(&bytes);
            let _ = open(&[MARK.as_bytes(), &bytes].concat());
        }
    }
}
