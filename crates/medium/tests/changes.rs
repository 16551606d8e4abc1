//! The wanted bytes are there afterwards, whatever was there before, and equal blocks are left alone.

use std::io;

use medium::{Changes, FileMedium, Medium};
use proptest::prelude::*;

const MIB: usize = 1024 * 1024;

/// Memory that counts what is written to it.
struct Memory {
    bytes: Vec<u8>,
    writes: Vec<(u64, usize)>,
}

impl Medium for Memory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = offset as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.writes.push((offset, bytes.len()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn memory(bytes: Vec<u8>) -> Memory {
    Memory {
        bytes,
        writes: Vec::new(),
    }
}

#[test]
fn equal_content_is_not_written() {
    let wanted = vec![7; MIB];
    let mut medium = memory(vec![7; MIB]);
    let mut changes = Changes::default();
    changes.write(&mut medium, 0, &wanted).unwrap();
    assert!(medium.writes.is_empty());
    let tally = changes.tally();
    assert_eq!(
        (tally.read, tally.written, tally.equal),
        (MIB as u64, 0, MIB as u64)
    );
}

#[test]
fn one_changed_byte_costs_one_block() {
    let mut wanted = vec![7; MIB];
    wanted[500_000] = 8;
    let mut medium = memory(vec![7; MIB]);
    Changes::default().write(&mut medium, 0, &wanted).unwrap();
    assert_eq!(medium.writes, [(500_000 / 4096 * 4096, 4096)]);
    assert_eq!(medium.bytes, wanted);
}

#[test]
fn an_unrelated_medium_is_soon_only_probed() {
    let wanted = vec![7; 32 * MIB];
    let mut medium = memory(vec![1; 32 * MIB]);
    let mut changes = Changes::default();
    for (number, piece) in wanted.chunks(MIB).enumerate() {
        changes.write(&mut medium, (number * MIB) as u64, piece).unwrap();
    }
    assert_eq!(medium.bytes, wanted);
    assert_eq!(changes.tally().written, 32 * MIB as u64);
    assert_eq!(changes.tally().read, 16 * MIB as u64 + 16 * 65536);
}

#[test]
fn zeros_are_left_alone_but_do_not_make_a_medium_known() {
    // Every fourth block is zero, on a medium that is all zero.
    let wanted = (0..32 * MIB)
        .map(|at| if at / 4096 % 4 == 0 { 0 } else { 7 })
        .collect::<Vec<u8>>();
    let mut medium = memory(vec![0; 34 * MIB]);
    let mut changes = Changes::default();
    for (number, piece) in wanted.chunks(MIB).enumerate() {
        changes.write(&mut medium, (number * MIB) as u64, piece).unwrap();
    }
    assert!(medium.bytes.starts_with(&wanted));
    assert_eq!(changes.tally().read, 16 * MIB as u64 + 16 * 65536);
    let writes = medium.writes.len();
    changes
        .write(&mut medium, 32 * MIB as u64, &vec![0; MIB])
        .unwrap();
    assert_eq!(medium.writes.len(), writes, "a hole in a sparse file stays one");
}

#[test]
fn nothing_is_written_past_the_end() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(8192).unwrap();
    let mut medium = FileMedium::new(file).unwrap();
    assert!(medium.write_at(4096, &[1; 4097]).is_err());
    assert!(medium.write_at(u64::MAX, &[1]).is_err());
    assert_eq!(medium.file().metadata().unwrap().len(), 8192);
    medium.write_at(4096, &[1; 4096]).unwrap();
}

proptest! {
    #[test]
    fn the_wanted_bytes_are_there_and_nothing_else_changes(
        have in proptest::collection::vec(0u8..2, 40),
        want in proptest::collection::vec(0u8..2, 1..20),
        start in 0usize..20,
        odd in 0usize..4096,
    ) {
        // Blocks of one value each, and an end that is not a whole block.
        let blocks = |values: &[u8]| values.iter().flat_map(|value| vec![*value; 4096]).collect::<Vec<_>>();
        let before = blocks(&have);
        let mut wanted = blocks(&want);
        wanted.truncate((wanted.len() - odd).max(1));
        let mut medium = memory(before.clone());
        Changes::default().write(&mut medium, (start * 4096) as u64, &wanted).unwrap();
        let mut expected = before;
        expected[start * 4096..start * 4096 + wanted.len()].copy_from_slice(&wanted);
        prop_assert!(medium.bytes == expected);
        for (at, len) in medium.writes {
            prop_assert!(at >= (start * 4096) as u64 && at + len as u64 <= (start * 4096 + wanted.len()) as u64);
        }
    }
}
