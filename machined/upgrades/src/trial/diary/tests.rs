//! Diaries that are long, strange, torn or damaged.

use proptest::prelude::*;

use super::*;

pub(crate) fn diary() -> Diary {
    Diary {
        slot: Slot::B,
        manifest: "ab".repeat(32),
        version: "0.2.0".into(),
        boot_id: "6f2c".into(),
        stage: TrialStage::Network,
        uptime_ms: 12_345,
        checks: vec![DiaryCheck {
            name: "services".into(),
            healthy: false,
            message: "unhealthy: containerd".into(),
        }],
        reason: "slot b was not healthy in time".into(),
        log: "[    1.000000] one\n[    2.000000] two\n".into(),
    }
}

#[test]
fn a_diary_round_trips() {
    assert_eq!(decode(&encode(7, &diary())).unwrap(), (7, diary()));
}

#[test]
fn the_end_of_a_long_log_is_kept() {
    let log: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    let bytes = encode(1, &Diary { log, ..diary() });
    assert!(bytes.len() <= AREA);
    let (_, read) = decode(&bytes).unwrap();
    assert!(
        read.log.ends_with("line 19999\n") && read.log.starts_with("line "),
        "{:.20}",
        read.log
    );
    assert!(read.log.len() > LOG_MAX - 20);
}

/// The reader may be older than the writer.
#[test]
fn fields_of_a_newer_release_are_ignored() {
    let json = br#"{"slot":"b","manifest":"ab","stage":"attestation","mood":"calm","checks":[{"name":"disk","healthy":false,"since":3}]}"#;
    let mut bytes = encode(3, &diary());
    bytes.truncate(HEADER);
    put(&mut bytes, 24, u32::try_from(json.len()).unwrap().to_le_bytes());
    put(&mut bytes, 28, 0_u32.to_le_bytes());
    bytes.extend_from_slice(json);
    let crc = crc32fast::hash(&bytes[AT_GENERATION..]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    let (_, read) = decode(&bytes).unwrap();
    assert_eq!(
        (read.stage, read.checks[0].name.as_str()),
        (TrialStage::Unknown, "disk")
    );
    bytes[8] = 2;
    assert_eq!(decode(&bytes), Err(DiaryError::Format(2)));
}

#[test]
fn stages_are_in_order() {
    assert!(TrialStage::Unknown < TrialStage::Initramfs && TrialStage::Services < TrialStage::Healthy);
}

proptest! {
    #[test]
    fn any_diary_fits_and_what_is_short_is_kept(
        texts in proptest::collection::vec(proptest::collection::vec(any::<char>(), 0..700), 4),
        checks in proptest::collection::vec((proptest::collection::vec(any::<char>(), 0..700), any::<bool>()), 0..30),
        log in proptest::collection::vec(any::<char>(), 0..3000),
        generation: u64,
    ) {
        let text = |chars: &Vec<char>| chars.iter().collect::<String>();
        let written = Diary {
            manifest: text(&texts[0]),
            version: text(&texts[1]),
            boot_id: text(&texts[2]),
            reason: text(&texts[3]),
            checks: checks.iter().map(|(message, healthy)| DiaryCheck {
                name: text(message), healthy: *healthy, message: text(message),
            }).collect(),
            log: text(&log),
            ..diary()
        };
        let bytes = encode(generation, &written);
        prop_assert!(bytes.len() <= AREA);
        let (read_generation, read) = decode(&bytes).unwrap();
        prop_assert_eq!(read_generation, generation);
        prop_assert_eq!(&read.log, &written.log);
        prop_assert!(written.manifest.starts_with(&read.manifest));
        prop_assert_eq!(read.checks.len(), checks.len().min(CHECKS_MAX));
        if written.reason.len() <= TEXT_MAX / 6 {
            prop_assert_eq!(read.reason, written.reason);
        }
    }

    #[test]
    fn a_flipped_bit_is_never_a_diary(at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = encode(7, &diary());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 12 {
            bytes[..12].copy_from_slice(b"BPDIARY1\x01\0\0\0");
        }
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn tails_start_with_a_line(text in "[a-zé\n]{0,200}", most in 0usize..220) {
        let end = tail(&text, most);
        prop_assert!(end.len() <= most && text.ends_with(end));
    }
}
