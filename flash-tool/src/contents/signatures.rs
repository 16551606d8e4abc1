//! The table of signatures: what the first or last bytes of a disk or partition say about the rest. Pure.
//!
//! Sources: the structures' own documentation in the Linux kernel (`Documentation/filesystems`, `Documentation/admin-guide`)
//! and, for what has none there, `libblkid` of util-linux.

use std::fmt;

use serde::Serialize;

/// Something that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// What it is, such as `ext4` or `LUKS`.
    pub kind: &'static str,
    /// The name that somebody gave it.
    pub label: Option<String>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(f, "{} {label:?}", self.kind),
            None => f.write_str(self.kind),
        }
    }
}

/// A row of the table.
struct Row {
    kind: &'static str,
    place: Place,
    magic: &'static [u8],
    /// Where its name is, from the start, and how long it may be, in bytes.
    label: Option<(usize, usize)>,
}

/// Where the magic bytes are.
enum Place {
    /// So many bytes from the start.
    At(usize),
    /// At any multiple of a step, in bytes, between two places from the start.
    Within(usize, usize, usize),
    /// So many bytes from the end, once the size is rounded down to a multiple of an alignment.
    FromEnd(u64, u64),
}

use Place::{At, FromEnd, Within};

const fn row(kind: &'static str, place: Place, magic: &'static [u8]) -> Row {
    Row {
        kind,
        place,
        magic,
        label: None,
    }
}

const fn named(kind: &'static str, place: Place, magic: &'static [u8], label: (usize, usize)) -> Row {
    Row {
        kind,
        place,
        magic,
        label: Some(label),
    }
}

const RAID: &[u8] = &0xa92b_4efc_u32.to_le_bytes();
const KIB: usize = 1024;

/// The extents feature of ext4, in the least byte of its incompatible features.
const EXT_INCOMPATIBLE: (usize, u8) = (0x460, 0x40);

const TABLE: &[Row] = &[
    row("GPT", At(512), b"EFI PART"),
    row("GPT, its first copy erased", FromEnd(512, 512), b"EFI PART"),
    row("LUKS", At(0), b"LUKS\xba\xbe"),
    row("BitLocker", At(3), b"-FVE-FS-"),
    row("LVM", Within(0, 2048, 512), b"LABELONE"),
    row("RAID", At(0), RAID),
    row("RAID", At(4096), RAID),
    row("RAID", FromEnd(8192, 4096), RAID),
    row("RAID", FromEnd(65536, 65536), RAID),
    row(
        "ZFS",
        Within(128 * KIB, 256 * KIB, KIB),
        &0x00ba_b10c_u64.to_le_bytes(),
    ),
    row(
        "ZFS",
        Within(128 * KIB, 256 * KIB, KIB),
        &0x00ba_b10c_u64.to_be_bytes(),
    ),
    named("ext4", At(0x438), b"\x53\xef", (0x478, 16)),
    named("XFS", At(0), b"XFSB", (108, 12)),
    named("Btrfs", At(0x10040), b"_BHRfS_M", (0x1012b, 256)),
    row("Bcachefs", At(4096 + 24), b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    row("Bcachefs", At(4096 + 24), b"\xc6\x85\x73\xf6\x66\xce\x90\xa9"),
    row("F2FS", At(KIB), b"\x10\x20\xf5\xf2"),
    row("EROFS", At(KIB), b"\xe2\xe1\xf5\xe0"),
    row("SquashFS", At(0), b"hsqs"),
    named("ISO 9660", At(0x8001), b"CD001", (0x8028, 32)),
    named("FAT", At(54), b"FAT12", (43, 11)),
    named("FAT", At(54), b"FAT16", (43, 11)),
    named("FAT", At(82), b"FAT32", (71, 11)),
    row("exFAT", At(3), b"EXFAT   "),
    row("NTFS", At(3), b"NTFS    "),
    row("HFS+", At(KIB), b"H+"),
    row("HFS+", At(KIB), b"HX"),
    row("APFS", At(32), b"NXSB"),
    named("swap", At(4086), b"SWAPSPACE2", (KIB + 28, 16)),
    named("swap", At(65536 - 10), b"SWAPSPACE2", (KIB + 28, 16)),
];

/// Finds what is in a disk or partition of `size` bytes by its first and last bytes, each kind once.
pub(super) fn find(head: &[u8], tail: &[u8], size: u64) -> Vec<Signature> {
    let mut all: Vec<Signature> = Vec::new();
    for row in TABLE.iter().filter(|row| is_at(row, head, tail, size)) {
        let kind = if row.kind == "ext4" {
            extended(head)
        } else {
            row.kind
        };
        // An intact table has both copies, and an array may be marked at two places.
        if !all.iter().any(|known| kind.starts_with(known.kind)) {
            let label = row.label.and_then(|(at, length)| label(head, at, length));
            all.push(Signature { kind, label });
        }
    }
    if all.is_empty() && is_mbr(head) {
        all.push(Signature {
            kind: "MBR",
            label: None,
        });
    }
    all
}

fn is_at(row: &Row, head: &[u8], tail: &[u8], size: u64) -> bool {
    let here = |bytes: &[u8], at: usize| bytes.get(at..).is_some_and(|rest| rest.starts_with(row.magic));
    match row.place {
        At(at) => here(head, at),
        Within(from, to, step) => (from..to).step_by(step).any(|at| here(head, at)),
        FromEnd(back, alignment) => {
            let at = (size - size % alignment).checked_sub(back);
            let start = size - tail.len() as u64;
            let at = at.and_then(|at| at.checked_sub(start));
            at.and_then(|at| usize::try_from(at).ok())
                .is_some_and(|at| here(tail, at))
        }
    }
}

/// Names the file systems that share ext4's magic: extents are what the last one added.
fn extended(head: &[u8]) -> &'static str {
    let (at, bit) = EXT_INCOMPATIBLE;
    match head.get(at) {
        Some(features) if features & bit != 0 => "ext4",
        _ => "ext2 or ext3",
    }
}

fn label(head: &[u8], at: usize, length: usize) -> Option<String> {
    let bytes = head.get(at..at + length)?;
    let bytes = bytes.split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    // What mkfs.fat writes when there is no name.
    Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text != "NO NAME")
}

/// Returns true for a partition table of a PC: every entry is active or not, and one has a type.
fn is_mbr(head: &[u8]) -> bool {
    let Some(sector) = head.first_chunk::<512>() else {
        return false;
    };
    let mut entries = sector[446..510].chunks(16);
    sector[510..] == [0x55, 0xaa]
        && entries.clone().all(|entry| entry[0] & 0x7f == 0)
        && entries.any(|entry| entry[4] != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_at_the_end_is_found_for_any_size() {
        for size in [1 << 20, (1 << 20) + 512, (1 << 20) + 69_632 + 512] {
            let mut disk = vec![0; size];
            let at = (size - 8192) & !4095;
            disk[at..at + 4].copy_from_slice(RAID);
            let tail = &disk[size - (256 << 10)..];
            let found = find(&disk[..256 << 10], tail, size as u64);
            assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), ["RAID"]);
        }
    }

    #[test]
    fn a_label_shows_no_control_characters() {
        let mut head = vec![0; 4096];
        head[..4].copy_from_slice(b"XFSB");
        head[108..116].copy_from_slice(b"a\x1b[31mb\x07");
        let found = find(&head, &head, 4096);
        assert_eq!(found[0].to_string(), "XFS \"a[31mb\"");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(head in proptest::collection::vec(any::<u8>(), 0..2000), size in 0_u64..5000) {
            let tail = &head[..head.len().min(usize::try_from(size).unwrap())];
            let _ = find(&head, tail, size);
        }
    }
}
