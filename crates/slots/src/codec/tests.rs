use super::*;
use proptest::prelude::*;

fn any_state() -> impl Strategy<Value = SlotState> {
    prop_oneof![
        Just(SlotState::Empty),
        any::<u8>().prop_map(|tries| SlotState::Trial { tries }),
        Just(SlotState::Committed),
        any::<u8>().prop_map(|code| SlotState::Bad(Reason::from_code(code))),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    (any_state(), any_state(), any::<bool>(), any::<(u16, u16, u16)>()).prop_map(|(a, b, second, floor)| {
        Record {
            slots: [a, b],
            preferred: if second { Slot::B } else { Slot::A },
            floor: Version::new(floor.0, floor.1, floor.2),
        }
    })
}

/// The bytes on existing disks: this test fails when a change would orphan them.
#[test]
fn golden_bytes() {
    let record = Record::initial()
        .arm_trial(Slot::B, 3)
        .mark_bad(Slot::A, Reason::KernelHash)
        .raise_floor(Version::new(1, 2, 0x0304));
    let mut expected = [0; RECORD_LEN];
    expected[..8].copy_from_slice(b"BPSLOTS1");
    expected[8] = 1;
    expected[16] = 7;
    expected[24..26].copy_from_slice(&[3, 10]);
    expected[28..30].copy_from_slice(&[1, 3]);
    expected[32] = 1;
    expected[36..42].copy_from_slice(&[1, 0, 2, 0, 4, 3]);
    expected[508..].copy_from_slice(&0xadb8_25bbu32.to_le_bytes());
    assert_eq!(encode(7, &record), expected);
}

#[test]
fn blank_medium_has_no_record() {
    for fill in [0x00, 0xff] {
        let copy = [fill; RECORD_LEN];
        assert_eq!(
            load(&copy, &copy),
            Loaded {
                record: None,
                generation: 0,
                write_to: 0
            }
        );
    }
    assert_eq!(decode(&[]), Err(DecodeError::Short { len: 0 }));
}

#[test]
fn newer_format_is_named() {
    let mut bytes = encode(1, &Record::initial());
    bytes[AT_FORMAT] = 2;
    let crc = crc32fast::hash(&bytes[..AT_CRC]);
    put(&mut bytes, AT_CRC, crc.to_le_bytes());
    assert_eq!(decode(&bytes), Err(DecodeError::Format { found: 2 }));
}

#[test]
fn generations_wrap() {
    let old = encode(u64::MAX, &Record::initial());
    let new = encode(0, &Record::initial().arm_trial(Slot::B, 3));
    for (copies, write_to) in [((&old, &new), 0), ((&new, &old), 1)] {
        let loaded = load(copies.0, copies.1);
        assert_eq!((loaded.generation, loaded.write_to), (0, write_to));
        assert_eq!(loaded.record.unwrap().preferred, Slot::B);
    }
}

proptest! {
    #[test]
    fn records_round_trip(generation: u64, record in any_record()) {
        prop_assert_eq!(decode(&encode(generation, &record)), Ok((generation, record)));
    }

    #[test]
    fn any_single_flipped_bit_is_noticed(generation: u64, record in any_record(), bit in 0..RECORD_LEN * 8) {
        let mut bytes = encode(generation, &record);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn garbage_is_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1024)) {
        prop_assert!(decode(&bytes).is_err());
    }

    /// The promise of two copies: cut the power after any byte of any write, and either the old or the new record is there.
    #[test]
    fn torn_write_leaves_old_or_new(history in proptest::collection::vec(any_record(), 2..8), cut in 0..=RECORD_LEN) {
        let mut disk = [[0xffu8; RECORD_LEN]; 2];
        let mut loaded = load(&disk[0], &disk[1]);
        let (last, before) = history.split_last().expect("two or more records");
        for record in before {
            let (offset, bytes) = loaded.next(record);
            let copy = COPY_OFFSETS.iter().position(|&at| at == offset).expect("an offset of a copy");
            disk[copy] = bytes;
            loaded = loaded.written(*record);
            prop_assert_eq!(load(&disk[0], &disk[1]), loaded);
        }
        let (_, bytes) = loaded.next(last);
        disk[loaded.write_to][..cut].copy_from_slice(&bytes[..cut]);
        let after = load(&disk[0], &disk[1]);
        let old = before.last().copied();
        prop_assert!(after.record == Some(*last) || after.record == old, "{after:?}");
        prop_assert!(cut < RECORD_LEN || after.record == Some(*last));
    }
}
