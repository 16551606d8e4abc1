//! The rules of the document, its signature, and its replacement by newer versions.
#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use proptest::prelude::*;
use rollout::{Bundle, MAX_LEN, ParseError, ReplaceError, Rollout, VerifyError, verify};
use signing::{Protection, SecretKey, create};

fn sample() -> Rollout {
    let bundle = Bundle {
        url: "https://releases.example/rpi4-0.2.0.bundle".into(),
        manifest: "ab".repeat(32).parse().unwrap(),
        version: "0.2.0".parse().unwrap(),
        board: "rpi4".into(),
    };
    Rollout::new("rpi4-0.2.0", bundle, "seed of this rollout")
}

fn key() -> SecretKey {
    let folder = tempfile::tempdir().unwrap();
    let (secret, _) = create(folder.path(), "k", Protection::None).unwrap();
    SecretKey::load(&secret, || None).unwrap()
}

#[test]
fn a_rollout_round_trips() {
    let text = sample().to_text().unwrap();
    assert_eq!(Rollout::parse_unverified(text.as_bytes()).unwrap(), sample());
    assert!(text.contains("\"waves\""), "{text}");
    let stopped = Rollout {
        stopped: true,
        reason: "boards of batch 7 do not come back".into(),
        serial: 2,
        ..sample()
    };
    let text = stopped.to_text().unwrap();
    assert_eq!(Rollout::parse_unverified(text.as_bytes()).unwrap(), stopped);
}

#[test]
fn each_rule_names_its_field() {
    type Change = fn(&mut Rollout);
    let cases: &[(&str, Change)] = &[
        ("id", |rollout| rollout.id.clear()),
        ("id", |rollout| rollout.id = "../etc".into()),
        ("id", |rollout| rollout.id = "a".repeat(65)),
        ("serial", |rollout| rollout.serial = 0),
        ("bundle.url", |rollout| rollout.bundle.url = "ftp://a/b".into()),
        ("bundle.url", |rollout| rollout.bundle.url = "https://".into()),
        ("bundle.url", |rollout| {
            rollout.bundle.url = "https://u:p@a/b".into()
        }),
        ("bundle.url", |rollout| {
            rollout.bundle.url = "https://a/b c".into()
        }),
        ("bundle.url", |rollout| {
            rollout.bundle.url = format!("https://a/{}", "b".repeat(2048));
        }),
        ("bundle.board", |rollout| rollout.bundle.board = "Rpi4".into()),
        ("waves", |rollout| rollout.waves.clear()),
        ("waves", |rollout| rollout.waves = vec![50]),
        ("waves", |rollout| rollout.waves = vec![0, 100]),
        ("waves", |rollout| rollout.waves = vec![10, 10, 100]),
        ("waves", |rollout| rollout.waves = vec![100, 101]),
        ("waves", |rollout| rollout.waves = (84..=100).collect()),
        ("seed", |rollout| rollout.seed.clear()),
        ("seed", |rollout| rollout.seed = "a\nb".into()),
        ("maxFailurePercent", |rollout| rollout.max_failure_percent = 101),
        ("pauseSeconds", |rollout| rollout.pause_seconds = 30 * 86400 + 1),
        ("ends", |rollout| {
            rollout.begins = Some(rollout::Moment::from_unix(0));
            rollout.ends = rollout.begins;
        }),
        ("reason", |rollout| rollout.stopped = true),
        ("reason", |rollout| rollout.reason = "why".into()),
        ("reason", |rollout| {
            rollout.stopped = true;
            rollout.reason = "x".repeat(501);
        }),
    ];
    for (field, change) in cases {
        let mut spoilt = sample();
        change(&mut spoilt);
        let error = spoilt.to_text().unwrap_err();
        assert!(
            matches!(&error, ParseError::Field { field: named, .. } if named == field),
            "{field}: {error}"
        );
        let text = serde_json::to_vec(&spoilt).unwrap();
        assert!(Rollout::parse_unverified(&text).is_err(), "{field} when read");
    }
}

#[test]
fn unknown_duplicate_and_missing_fields_are_refused() {
    let text = sample().to_text().unwrap();
    let spoilt = [
        text.replacen('{', "{\"comment\": \"hi\",", 1),
        text.replacen('{', "{\"serial\": 9,", 1),
        text.replace("\"seed\"", "\"Seed\""),
        text.replace("Rollout", "Manifest"),
        text.replace("v1alpha1", "v2"),
        format!("{text}{text}"),
        String::new(),
    ];
    for text in spoilt {
        assert!(Rollout::parse_unverified(text.as_bytes()).is_err(), "{text}");
    }
    let long = format!("{text}{}", " ".repeat(MAX_LEN));
    assert!(matches!(
        Rollout::parse_unverified(long.as_bytes()),
        Err(ParseError::TooLong(_))
    ));
}

#[test]
fn only_a_trusted_signature_over_these_bytes_counts() {
    let (ours, theirs) = (key(), key());
    let text = sample().to_text().unwrap();
    let signed = ours.sign("rollout", text.as_bytes(), "rollout rpi4-0.2.0 serial 1");
    let read = verify(text.as_bytes(), signed.as_bytes(), &[ours.public()]).unwrap();
    assert_eq!((&*read, read.signer()), (&sample(), ours.public()));
    let other = text.replace("\"serial\": 1", "\"serial\": 2");
    assert_ne!(other, text);
    for (text, keys) in [
        (text.as_str(), vec![theirs.public()]),
        (text.as_str(), vec![]),
        (other.as_str(), vec![ours.public()]),
    ] {
        let refused = verify(text.as_bytes(), signed.as_bytes(), &keys);
        assert!(matches!(refused, Err(VerifyError::Signature(_))), "{refused:?}");
    }
    // A signed invalid document stays invalid.
    let signed = ours.sign("rollout", b"{}", "x");
    let refused = verify(b"{}", signed.as_bytes(), &[ours.public()]);
    assert!(matches!(refused, Err(VerifyError::Parse(_))), "{refused:?}");
}

#[test]
fn only_a_newer_version_of_the_same_rollout_replaces_it() {
    let now = Rollout {
        serial: 3,
        ..sample()
    };
    let stopped = Rollout {
        serial: 4,
        stopped: true,
        reason: "why".into(),
        pause_seconds: 60,
        max_failure_percent: 5,
        bundle: Bundle {
            url: "https://mirror.example/x".into(),
            ..now.bundle.clone()
        },
        ..now.clone()
    };
    assert_eq!(stopped.follows(&now), Ok(()));
    assert_eq!(now.follows(&now), Ok(()));
    assert_eq!(
        now.follows(&stopped),
        Err(ReplaceError::Older { found: 3, known: 4 }),
        "an old one from before the stop"
    );
    let same = Rollout {
        serial: 3,
        ..stopped.clone()
    };
    assert_eq!(same.follows(&now), Err(ReplaceError::SameSerial(3)));
    type Change = fn(&mut Rollout);
    let others: [(&str, Change); 4] = [
        ("id", |rollout| rollout.id = "another".into()),
        ("bundle.manifest", |rollout| {
            rollout.bundle.manifest = "cd".repeat(32).parse().unwrap();
        }),
        ("waves", |rollout| rollout.waves = vec![100]),
        ("seed", |rollout| rollout.seed = "another".into()),
    ];
    for (what, change) in others {
        let mut other = stopped.clone();
        change(&mut other);
        assert_eq!(other.follows(&now), Err(ReplaceError::Differs(what)));
    }
}

proptest! {
    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Rollout::parse_unverified(&bytes).is_err());
        prop_assert!(verify(&bytes, &bytes, &[]).is_err());
    }

    /// Every change of one byte is either refused or leaves a document that obeys the rules.
    #[test]
    fn a_changed_byte_never_breaks_a_rule(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = sample().to_text().unwrap().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(read) = Rollout::parse_unverified(&text) {
            prop_assert!(read.to_text().is_ok());
        }
    }
}
