//! Partition tables that other tools accept, that survive damage to one copy, and that read back as they were.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor};
use std::process::Command;

use layout::{DiskSpec, Extent, Guids, Layout, LayoutError, Name, TABLE_HEAD, Table};
use proptest::prelude::*;

const MIB: u64 = 1024 * 1024;

fn spec() -> DiskSpec {
    DiskSpec {
        slot_size: 64 * MIB,
        first_partition: MIB,
    }
}

fn table(medium: u64, hybrid: bool) -> Table {
    let layout = Layout::for_medium(&spec(), medium).unwrap();
    Table {
        layout,
        guids: Guids::from_seed(b"test"),
        hybrid,
    }
}

/// Makes a sparse file with the table on it.
fn disk(dir: &tempfile::TempDir, table: &Table) -> File {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(dir.path().join("disk"))
        .unwrap();
    file.set_len(table.layout.medium()).unwrap();
    table.write(&mut file, |file| file.sync_data()).unwrap();
    file
}

#[test]
fn the_design_is_what_is_laid_out() {
    let spec = DiskSpec {
        slot_size: 512 * MIB,
        first_partition: MIB,
    };
    let layout = Layout::for_medium(&spec, 4096 * MIB).unwrap();
    let mib = layout
        .partitions()
        .map(|(name, extent)| (name.as_str(), extent.start / MIB, extent.len / MIB))
        .collect::<Vec<_>>();
    assert_eq!(
        mib,
        [
            ("ESP", 1, 128),
            ("BOOTSTATE", 129, 1),
            ("CONFIG", 130, 1),
            ("SLOT-A", 131, 512),
            ("SLOT-B", 643, 512),
            ("STATE", 1155, 64),
            ("DATA", 1219, 4096 - 1219 - 1),
        ]
    );
    let least = Layout::least(&spec).unwrap();
    assert_eq!(
        Layout::for_medium(&spec, least).unwrap().extent(Name::Data).len,
        64 * MIB
    );
    assert_eq!(
        Layout::for_medium(&spec, least - 1),
        Err(LayoutError::TooSmall {
            needed: least,
            medium: least - 1
        })
    );
}

#[test]
fn other_tools_accept_it() {
    for hybrid in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        disk(&dir, &table(512 * MIB + 12345, hybrid));
        let path = dir.path().join("disk");
        // sgdisk refuses files that are not whole sectors.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len((512 * MIB + 12345) / 512 * 512)
            .unwrap();
        let output = match Command::new("sgdisk").arg("-v").arg(&path).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("skipped: sgdisk is not installed (package gdisk)");
                return;
            }
            other => other.unwrap(),
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("No problems found"), "hybrid {hybrid}: {said}");
        let printed = Command::new("sgdisk").arg("-p").arg(&path).output().unwrap();
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        assert!(
            Name::ALL.iter().all(|name| printed.contains(name.as_str())),
            "{printed}"
        );
    }
}

#[test]
fn the_hybrid_mbr_shows_the_esp_and_guards_the_rest() {
    let head = table(512 * MIB, true).images().unwrap().head;
    let entries = head[446..510].as_chunks::<16>().0;
    let sectors = |entry: &[u8; 16]| {
        (
            u32::from_le_bytes(entry[8..12].try_into().unwrap()),
            u32::from_le_bytes(entry[12..16].try_into().unwrap()),
        )
    };
    assert_eq!((entries[0][4], sectors(&entries[0])), (0x0c, (2048, 128 * 2048)));
    assert_eq!((entries[1][4], sectors(&entries[1])), (0xee, (1, 2047)));
    assert_eq!(&head[510..512], &[0x55, 0xaa]);
}

#[test]
fn either_copy_is_enough_to_read_it() {
    let dir = tempfile::tempdir().unwrap();
    for hybrid in [false, true] {
        let table = table(512 * MIB, hybrid);
        for damaged in [None, Some(512), Some(512 * MIB - 512)] {
            let mut file = disk(&dir, &table);
            if let Some(at) = damaged {
                use std::os::unix::fs::FileExt;
                file.write_all_at(&[0; 512], at).unwrap();
            }
            assert_eq!(Table::read(&mut file).unwrap(), table, "damaged at {damaged:?}");
        }
    }
}

#[test]
fn any_damaged_byte_of_one_header_is_survived() {
    use std::os::unix::fs::FileExt;
    let (dir, medium) = (tempfile::tempdir().unwrap(), 512 * MIB);
    let table = table(medium, false);
    let mut file = disk(&dir, &table);
    for at in (512..512 + 92).chain(medium - 512..medium - 512 + 92) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
        assert_eq!(Table::read(&mut file).unwrap(), table, "byte {at}");
        file.write_all_at(&byte, at).unwrap();
    }
}

#[test]
fn partitions_outside_the_usable_sectors_are_refused() {
    let mut head = table(400 * MIB, false).images().unwrap().head;
    // The first usable sector is behind the start of the ESP, says a header whose checksum is right.
    head[512 + 40..512 + 48].copy_from_slice(&4096_u64.to_le_bytes());
    head[512 + 16..512 + 20].fill(0);
    let crc = crc32(&head[512..512 + 92]);
    head[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
    head.resize(4 << 20, 0);
    let error = Table::read(&mut Cursor::new(head)).unwrap_err().to_string();
    assert!(error.contains("outside the sectors for partitions"), "{error}");
}

#[test]
fn it_grows_to_a_larger_medium_and_keeps_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let small = table(512 * MIB, true);
    let mut file = disk(&dir, &small);
    assert_eq!(small.grown_to(512 * MIB).unwrap(), None);
    file.set_len(2048 * MIB).unwrap();

    let read = Table::read(&mut file).unwrap();
    let grown = read.grown_to(2048 * MIB).unwrap().unwrap();
    grown.write(&mut file, |file| file.sync_data()).unwrap();

    let after = Table::read(&mut file).unwrap();
    assert_eq!((after.guids, after.hybrid), (small.guids, true));
    let (before, data) = (small.layout.extent(Name::Data), after.layout.extent(Name::Data));
    assert_eq!(
        data,
        Extent {
            start: before.start,
            len: before.len + 1536 * MIB
        }
    );
    assert_eq!(after.grown_to(2048 * MIB).unwrap(), None);
    assert!(after.grown_to(512 * MIB).is_err());
}

#[test]
fn a_copy_that_is_damaged_or_misplaced_is_made_again() {
    use std::os::unix::fs::FileExt;
    let dir = tempfile::tempdir().unwrap();
    let small = table(512 * MIB, true);
    let large = small.grown_to(2048 * MIB).unwrap().unwrap();
    for (grows, damaged) in [
        (false, Some(512)),
        (false, Some(1024)),
        (false, Some(512 * MIB - 512)),
        (false, Some(512 * MIB - 33 * 512)),
        (true, None),
        (true, Some(2048 * MIB - 512)),
    ] {
        let (mut file, wanted) = (disk(&dir, &small), if grows { large } else { small });
        assert!(Table::fit(&mut file, |file| file.sync_data()).unwrap().is_none());
        file.set_len(wanted.layout.medium()).unwrap();
        if let Some(at) = damaged {
            file.write_all_at(&[7; 512], at).unwrap();
        }
        let fitted = Table::fit(&mut file, |file| file.sync_data()).unwrap();
        assert_eq!(fitted, Some(wanted), "{damaged:?}");
        let images = wanted.images().unwrap();
        let mut head = vec![0; images.head.len()];
        let mut tail = vec![0; images.tail.len()];
        file.read_exact_at(&mut head, 0).unwrap();
        file.read_exact_at(&mut tail, wanted.layout.table_tail().start)
            .unwrap();
        assert!(head == images.head && tail == images.tail, "{damaged:?}");
        let again = Table::fit(&mut file, |_| panic!("nothing is to be written"));
        assert!(again.unwrap().is_none());
    }
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
    let one = table(512 * MIB, false);
    assert_eq!(one.images().unwrap(), one.images().unwrap());
    let other = Table {
        guids: Guids::from_seed(b"other"),
        ..one
    };
    assert_ne!(one.images().unwrap(), other.images().unwrap());
    let mut guids = one.guids.partitions.to_vec();
    guids.push(one.guids.disk);
    guids.sort();
    guids.dedup();
    assert_eq!(guids.len(), 8);
}

#[test]
fn a_torn_write_leaves_one_copy() {
    let medium = 512 * MIB;
    let dir = tempfile::tempdir().unwrap();
    let old = table(medium, false);
    let grown = old.grown_to(2 * medium).unwrap().unwrap();
    let images = grown.images().unwrap();
    // The backup is complete; the primary is cut after each sector.
    for sectors in 0..TABLE_HEAD as usize / 512 {
        let mut file = disk(&dir, &old);
        file.set_len(2 * medium).unwrap();
        use std::os::unix::fs::FileExt;
        file.write_all_at(&images.tail, grown.layout.table_tail().start)
            .unwrap();
        file.write_all_at(&images.head[..sectors * 512], 0).unwrap();
        let read = Table::read(&mut file).unwrap();
        assert_eq!(read.guids, old.guids, "cut after {sectors} sectors");
    }
    fs::remove_file(dir.path().join("disk")).unwrap();
}

proptest! {
    #[test]
    fn partitions_never_overlap_and_leave_room_for_the_tables(
        slot in 1u64..4096, first in 1u64..64, medium in 0u64..1 << 40,
    ) {
        let spec = DiskSpec { slot_size: slot * MIB, first_partition: first * MIB };
        match Layout::for_medium(&spec, medium) {
            Err(LayoutError::TooSmall { needed, .. }) => prop_assert!(medium < needed),
            Err(other) => prop_assert!(false, "{}", other),
            Ok(layout) => {
                let mut end = TABLE_HEAD;
                for (_, extent) in layout.partitions() {
                    prop_assert!(extent.start >= end && extent.start % MIB == 0 && extent.len >= MIB);
                    end = extent.end();
                }
                prop_assert!(end <= layout.table_tail().start && layout.table_tail().end() <= medium);
            }
        }
    }

    #[test]
    fn mad_specs_are_refused_without_a_panic(slot: u64, first: u64, medium: u64) {
        let _ = Layout::for_medium(&DiskSpec { slot_size: slot, first_partition: first }, medium);
    }

    #[test]
    fn garbled_tables_never_panic(bytes in proptest::collection::vec((0usize..34 * 512, any::<u8>()), 1..40), fix: bool) {
        let mut head = table(400 * MIB, false).images().unwrap().head;
        for (at, byte) in bytes { head[at] = byte }
        if fix {
            // With right checksums, so that the garbage is looked at.
            let entries = crc32(&head[1024..]);
            head[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
            head[512 + 16..512 + 20].fill(0);
            let header = crc32(&head[512..512 + 92]);
            head[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
        }
        head.resize(4 << 20, 0);
        let _ = Table::read(&mut Cursor::new(head));
    }
}

/// Works out the CRC32 of a GPT, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
