//! Who may vouch for a manifest: real minisign signatures, other people's, old ones, and damaged ones.
mod support;

use manifest::{ParseError, SignatureError, TrustedKey, VerifyError, keyring, trailer, verify};
use proptest::prelude::*;
use std::sync::LazyLock;
use support::{Signer, sample};

struct Signed {
    signer: Signer,
    json: Vec<u8>,
    signature: Vec<u8>,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let signer = Signer::new();
    let json = sample().to_json().expect("the sample is sound");
    let signature = signer.sign(&json);
    Signed {
        signer,
        json,
        signature,
    }
});

fn refusal(json: &[u8], signatures: &[u8], keys: &[TrustedKey]) -> SignatureError {
    match verify(json, signatures, keys) {
        Err(VerifyError::Signature(error)) => error,
        other => panic!("expected a signature error, got {other:?}"),
    }
}

#[test]
fn what_minisign_signed_is_taken() {
    let Signed {
        signer,
        json,
        signature,
    } = &*SIGNED;
    let verified = verify(json, signature, &[Signer::new().key(), signer.key()]).unwrap();
    assert_eq!(verified.signer(), signer.key());
    assert_eq!(verified.id(), manifest::Digest::of(json));
    assert_eq!(verified.into_manifest(), sample());
}

/// Made by the `minisign` program (0.11), so that our reading does not only agree with the Rust crate's writing.
#[test]
fn the_program_minisign_agrees() {
    let key = TrustedKey::parse(include_str!("golden/minisign.pub")).unwrap();
    let json = include_str!("golden/manifest.json").trim_end();
    assert!(
        verify(
            json.as_bytes(),
            include_bytes!("golden/manifest.json.minisig"),
            &[key]
        )
        .is_ok()
    );
    let old = include_bytes!("golden/manifest.json.legacy.minisig");
    assert_eq!(refusal(json.as_bytes(), old, &[key]), SignatureError::Legacy);
}

#[test]
fn one_trusted_signature_among_several_is_enough() {
    let Signed {
        signer,
        json,
        signature,
    } = &*SIGNED;
    let other = Signer::new();
    for both in [
        [signature.clone(), other.sign(json)].concat(),
        [other.sign(json), signature.clone()].concat(),
    ] {
        assert!(verify(json, &both, &[signer.key()]).is_ok());
        assert!(verify(json, &both, &[other.key()]).is_ok());
        assert_eq!(
            refusal(json, &both, &[Signer::new().key()]),
            SignatureError::UnknownKey
        );
    }
    // A broken signature by a trusted key does not spoil a good one behind it.
    let both = [signer.sign(b"another text"), other.sign(json)].concat();
    assert!(verify(json, &both, &[signer.key(), other.key()]).is_ok());
}

#[test]
fn others_are_refused() {
    let Signed {
        signer,
        json,
        signature,
    } = &*SIGNED;
    assert_eq!(refusal(json, signature, &[]), SignatureError::UnknownKey);
    assert_eq!(
        refusal(json, signature, &[Signer::new().key()]),
        SignatureError::UnknownKey
    );
    let forged = TrustedKey {
        id: signer.key().id,
        key: Signer::new().key().key,
    };
    assert_eq!(
        refusal(json, signature, &[forged]),
        SignatureError::Mismatch { key: forged }
    );
    // Two keys with one id: an attacker's key must not hide ours.
    assert!(verify(json, signature, &[forged, signer.key()]).is_ok());
    assert_eq!(
        refusal(json, &signer.sign(b"else"), &[signer.key()]),
        SignatureError::Mismatch { key: signer.key() }
    );
    let many = signature.repeat(manifest::MAX_SIGNATURES + 1);
    assert_eq!(refusal(json, &many, &[signer.key()]), SignatureError::TooMany);
    let long = vec![b' '; manifest::MAX_JSON + 1];
    let signature = signer.sign(&long);
    assert!(matches!(
        verify(&long, &signature, &[signer.key()]),
        Err(VerifyError::Parse(ParseError::TooLong { .. }))
    ));
}

#[test]
fn signed_nonsense_is_still_nonsense() {
    let signer = Signer::new();
    let json = b"{\"format\":1}";
    assert!(matches!(
        verify(json, &signer.sign(json), &[signer.key()]),
        Err(VerifyError::Parse(_))
    ));
}

#[test]
fn trusted_comment_is_covered() {
    let Signed {
        signer,
        json,
        signature,
    } = &*SIGNED;
    let text = String::from_utf8(signature.clone()).unwrap();
    let untrusted = text.replacen("by a test", "by a friend", 1);
    assert_ne!(untrusted, text);
    assert!(verify(json, untrusted.as_bytes(), &[signer.key()]).is_ok());
    let trusted = text.replacen("a release", "an update", 1);
    assert_ne!(trusted, text);
    assert_eq!(
        refusal(json, trusted.as_bytes(), &[signer.key()]),
        SignatureError::Mismatch { key: signer.key() }
    );
}

#[test]
fn public_keys_are_read_in_both_forms() {
    let file = include_str!("golden/minisign.pub");
    let key = TrustedKey::parse(file).unwrap();
    assert_eq!(TrustedKey::parse(file.lines().nth(1).unwrap()), Ok(key));
    assert!(file.contains(&key.to_string()), "{key} is the id in the comment");
    for text in [
        "",
        "untrusted comment: x",
        "RW",
        "not base64 at all",
        &format!("{file}{file}"),
    ] {
        assert!(TrustedKey::parse(text).is_err(), "{text:?}");
    }
    // The neutral point: every signature would hold for it.
    let weak = format!("RWQ{}", "A".repeat(53));
    assert!(TrustedKey::parse(&weak).is_err());
}

#[test]
fn keyring_round_trips() {
    assert_eq!(keyring::decode(&keyring::EMPTY), Ok(vec![]));
    let keys: Vec<_> = (0..keyring::MAX_KEYS).map(|_| SIGNED.signer.key()).collect();
    let bytes = keyring::encode(&keys).unwrap();
    assert_eq!(keyring::decode(&bytes), Ok(keys.clone()));
    let more = [keys, vec![SIGNED.signer.key()]].concat();
    assert_eq!(
        keyring::encode(&more),
        Err(keyring::KeyringError::TooMany { count: 17 })
    );
    let mut bytes = bytes;
    bytes[8] = 17;
    assert_eq!(
        keyring::decode(&bytes),
        Err(keyring::KeyringError::TooMany { count: 17 })
    );
    assert_eq!(
        keyring::decode(&[0; keyring::LEN]),
        Err(keyring::KeyringError::Magic)
    );
    assert_eq!(
        keyring::decode(&bytes[..1023]),
        Err(keyring::KeyringError::Short { len: 1023 })
    );
}

#[test]
fn trailer_round_trips() {
    let Signed { json, signature, .. } = &*SIGNED;
    let area = trailer::encode(json, signature).unwrap();
    assert_eq!(area.len(), trailer::AREA);
    assert_eq!(
        trailer::decode(&area),
        Ok(trailer::Trailer {
            json,
            signatures: signature
        })
    );
    assert_eq!(
        trailer::decode(&[0; trailer::AREA]),
        Err(trailer::TrailerError::Missing)
    );
    assert_eq!(
        trailer::decode(&area[1..]),
        Err(trailer::TrailerError::Short {
            len: trailer::AREA - 1
        })
    );
    let most = trailer::encode(&[1; manifest::MAX_JSON], &[2; trailer::MAX_SIGNATURES_LEN]).unwrap();
    assert!(trailer::decode(&most).is_ok());
    assert!(trailer::encode(&[1; manifest::MAX_JSON + 1], &[]).is_err());
    for at in [8, 12] {
        let mut area = area.clone();
        area[at..at + 4].fill(0xff);
        assert!(matches!(
            trailer::decode(&area),
            Err(trailer::TrailerError::TooLong { .. })
        ));
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_in_the_manifest_is_noticed(bit: usize) {
        let Signed { signer, json, signature } = &*SIGNED;
        let mut json = json.clone();
        let bit = bit % (json.len() * 8);
        json[bit / 8] ^= 1 << (bit % 8);
        let mismatch = SignatureError::Mismatch { key: signer.key() };
        prop_assert_eq!(refusal(&json, signature, &[signer.key()]), mismatch);
    }

    #[test]
    fn any_flipped_bit_in_the_signature_is_noticed(bit: usize) {
        let Signed { signer, json, signature } = &*SIGNED;
        let comment = signature.iter().position(|&b| b == b'\n').unwrap() + 1;
        let mut signature = signature.clone();
        // Behind the untrusted comment, and before the last line's end, every bit counts.
        let bits = (signature.trim_ascii_end().len() - comment) * 8;
        let bit = comment * 8 + bit % bits;
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify(json, &signature, &[signer.key()]).is_err());
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let Signed { signer, json, .. } = &*SIGNED;
        prop_assert!(verify(json, &bytes, &[signer.key()]).is_err());
        prop_assert!(verify(&bytes, &bytes, &[signer.key()]).is_err());
        prop_assert!(keyring::decode(&bytes).is_err());
        prop_assert!(TrustedKey::parse(&String::from_utf8_lossy(&bytes)).is_err());
        let mut area = bytes.clone();
        area.resize(trailer::AREA, 0);
        prop_assert!(trailer::decode(&area).is_err());
    }

    /// Behind a right magic, lengths and texts are an attacker's.
    #[test]
    fn hostile_trailers_never_panic(json_len: u32, sig_len: u32, count: u32, rest in proptest::collection::vec(any::<u8>(), 1100)) {
        let mut area = vec![0; trailer::AREA];
        area[16..16 + rest.len()].copy_from_slice(&rest);
        area[..8].copy_from_slice(b"BPMANIF1");
        area[8..12].copy_from_slice(&json_len.to_le_bytes());
        area[12..16].copy_from_slice(&(sig_len % 20_000).to_le_bytes());
        if let Ok(found) = trailer::decode(&area) {
            prop_assert!(verify(found.json, found.signatures, &[SIGNED.signer.key()]).is_err());
        }
        let mut ring = rest;
        ring[..8].copy_from_slice(b"BPKEYS01");
        ring[8..12].copy_from_slice(&(count % 20).to_le_bytes());
        if let Ok(keys) = keyring::decode(&ring) {
            let Signed { json, signature, .. } = &*SIGNED;
            prop_assert!(verify(json, signature, &keys).is_err());
        }
    }
}
