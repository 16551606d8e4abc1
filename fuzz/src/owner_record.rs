//! The owner record: its bytes, its two copies, and torn writes.

use owner::{AREA, DecodeError, OFFSETS, Owner, decode, encode, load};

/// An accepted record has one form, and no damage or torn write makes an owned node unowned.
pub fn record(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let copies = [first, second].map(area);
    let repaired = copies.each_ref().map(|copy| repair(copy.clone()));
    for copy in copies.iter().chain(&repaired) {
        if let Ok((generation, owner)) = decode(copy) {
            assert!(encode(generation, &owner) == *copy, "one record, one form");
        }
    }
    let cut = data.last().map_or(0, |byte| usize::from(*byte) * 64);
    let [one, two] = copies;
    let [repaired_one, repaired_two] = repaired;
    for pair in [
        [one.clone(), two.clone()],
        [repaired_one.clone(), repaired_two.clone()],
        [one, repaired_two],
        [repaired_one, two],
    ] {
        two_copies(pair, cut);
    }
}

fn area(bytes: &[u8]) -> Vec<u8> {
    let mut area = bytes.to_vec();
    area.resize(AREA, 0);
    area
}

/// Repairs what a fuzzer does not guess: magic, format and checksum.
fn repair(mut copy: Vec<u8>) -> Vec<u8> {
    copy[..8].copy_from_slice(b"BPOWNER1");
    copy[8..12].copy_from_slice(&1_u32.to_le_bytes());
    // Most kinds and lengths are invalid.
    copy[24] %= 3;
    copy[25..28].fill(0);
    copy[30..32].fill(0);
    let len = usize::from(u16::from_le_bytes([copy[28], copy[29]]));
    let crc = crc32fast::hash(&copy[16..(32 + len).min(AREA)]);
    copy[12..16].copy_from_slice(&crc.to_le_bytes());
    copy
}

fn owner_of(copies: &[Vec<u8>; 2]) -> Owner {
    load([Some(&copies[0]), Some(&copies[1])]).owner
}

fn two_copies(mut copies: [Vec<u8>; 2], cut: usize) {
    let found = owner_of(&copies);
    let each = copies.each_ref().map(|copy| decode(copy));
    let valid: Vec<&Owner> = each.iter().flatten().map(|(_, owner)| owner).collect();
    let blank = each.contains(&Err(DecodeError::Blank));
    match valid[..] {
        [] if blank => assert_eq!(found, Owner::Nobody),
        [] => assert_eq!(found, Owner::Unknown, "in doubt it has an owner"),
        _ => assert!(valid.contains(&&found), "a valid copy counts"),
    }

    for owner in [Owner::of("a certificate"), Owner::of("another"), Owner::Nobody] {
        let before = owner_of(&copies);
        for _ in OFFSETS {
            let loaded = load([Some(&copies[0]), Some(&copies[1])]);
            let (at, bytes) = loaded.next(&owner);
            let which = usize::from(at == OFFSETS[1]);
            // The power is cut during the write: the rest is from the old record.
            let mut torn = copies.clone();
            let cut = cut.min(AREA);
            torn[which][..cut].copy_from_slice(&bytes[..cut]);
            let after = owner_of(&torn);
            let repaired = decode(&copies[which]).is_err() && decode(&torn[which]).is_ok();
            assert!(
                repaired || after == loaded.owner || after == owner || after == before,
                "a torn write is the owner before or after"
            );
            copies[which] = bytes;
        }
        let loaded = load([Some(&copies[0]), Some(&copies[1])]);
        assert!(loaded.settled && loaded.owner == owner, "two writes are enough");
        for which in 0..2 {
            let mut damaged = copies.clone();
            damaged[which][cut % 32] ^= 1;
            assert_eq!(owner_of(&damaged), owner, "the other copy has it");
        }
    }
}
