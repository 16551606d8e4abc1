//! The slot record: its bytes, its two copies, and torn writes.

use slots::{COPY_OFFSETS, Loaded, RECORD_LEN, Record, decode, encode, load};

/// An accepted record has one form, and after any write one of the two copies is valid.
pub fn record(data: &[u8]) {
    let copies = copies(data);
    let repaired = copies.map(repair);
    for copy in copies.iter().chain(&repaired) {
        if let Ok((generation, record)) = decode(copy) {
            assert_eq!(&encode(generation, &record), copy, "one record, one form");
        }
    }
    let cut = data.last().map_or(0, |byte| usize::from(*byte) * 2);
    for pair in [
        copies,
        repaired,
        [copies[0], repaired[1]],
        [repaired[0], copies[1]],
    ] {
        two_copies(pair, cut);
    }
}

/// Takes the first bytes as the first copy and the rest as the second.
pub fn copies(data: &[u8]) -> [[u8; RECORD_LEN]; 2] {
    let middle = if data.len() > RECORD_LEN {
        RECORD_LEN
    } else {
        data.len() / 2
    };
    let (first, second) = data.split_at(middle);
    [first, second].map(|bytes| {
        let mut copy = [0; RECORD_LEN];
        let len = bytes.len().min(RECORD_LEN);
        copy[..len].copy_from_slice(&bytes[..len]);
        copy
    })
}

/// Repairs what a fuzzer does not guess: magic, format and checksum.
pub fn repair(mut copy: [u8; RECORD_LEN]) -> [u8; RECORD_LEN] {
    copy[..8].copy_from_slice(b"BPSLOTS1");
    copy[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let crc = crc32fast::hash(&copy[..RECORD_LEN - 4]);
    copy[RECORD_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    copy
}

fn two_copies(copies: [[u8; RECORD_LEN]; 2], cut: usize) {
    let found = load(&copies[0], &copies[1]);
    let readable = copies.iter().filter(|copy| decode(&copy[..]).is_ok()).count();
    assert_eq!(found.record.is_some(), readable > 0, "a valid copy counts");
    if readable == 1 {
        assert!(
            decode(&copies[found.write_to]).is_err(),
            "the only valid copy is not written over"
        );
    }

    let record = changed(&found);
    let (at, bytes) = found.next(&record);
    let which = COPY_OFFSETS
        .iter()
        .position(|offset| *offset == at)
        .expect("a place of a copy");
    let mut written = copies;
    written[which] = bytes;
    assert_eq!(
        load(&written[0], &written[1]),
        found.written(record),
        "what is written counts from then on"
    );

    // The power is cut during the write: the rest of the sector is the old one's.
    let mut torn = copies;
    let cut = cut.min(RECORD_LEN);
    torn[which][..cut].copy_from_slice(&bytes[..cut]);
    let after = load(&torn[0], &torn[1]).record;
    // The first bytes may repair a copy whose magic was damaged. That one counts by its generation, as it did before.
    let repaired = decode(&copies[which]).is_err() && decode(&torn[which]).is_ok();
    assert!(
        repaired || after == found.record || after == Some(record),
        "a torn write is the old record or the new one"
    );
}

/// Makes another record from one, as an upgrade does.
fn changed(found: &Loaded) -> Record {
    let record = found.record.unwrap_or_else(Record::initial);
    let spare = record.preferred.other();
    let armed = record.erase(spare).arm_trial(spare, slots::TRIAL_TRIES);
    let spent = armed.spend_try(spare).expect("a fresh trial has tries");
    assert_eq!(
        spent.slot(spare.other()),
        record.slot(spare.other()),
        "the other slot is left alone"
    );
    spent.raise_floor(record.floor)
}
