//! Names: the short one of 8 and 3 letters that each entry has, and the long one that may stand before it.

/// The length of an entry of a folder.
pub(crate) const ENTRY: usize = 32;
/// Characters of a long name in an entry, by their offset.
const PLACES: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// The attributes of an entry that holds a part of a long name.
pub(crate) const LONG: u8 = 0x0f;
/// What the first entry of a long name has in its number.
const LAST: u8 = 0x40;
/// The longest name of a new file: its entries fit into one sector.
pub(crate) const LONGEST: usize = 15 * PLACES.len();

/// Returns what a long name's entries must have for this short name.
pub(crate) fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Gathers the long name that stands before a short one.
#[derive(Debug, Default)]
pub(crate) struct LongName {
    units: Vec<u16>,
    next: u8,
    sum: u8,
    /// Entries that it has so far.
    pub(crate) entries: usize,
}

impl LongName {
    /// Takes the next entry of the folder that holds a part.
    pub(crate) fn push(&mut self, entry: &[u8]) {
        let number = entry[0] & !LAST;
        if entry[0] & LAST != 0 && (1..=20).contains(&number) {
            *self = LongName {
                units: vec![0xffff; usize::from(number) * PLACES.len()],
                next: number,
                sum: entry[13],
                entries: 0,
            };
        }
        if self.next == 0 || number != self.next || entry[13] != self.sum {
            *self = LongName::default();
            return;
        }
        self.next -= 1;
        self.entries += 1;
        let start = usize::from(number - 1) * PLACES.len();
        for (unit, place) in self.units[start..].iter_mut().zip(PLACES) {
            *unit = u16::from_le_bytes([entry[place], entry[place + 1]]);
        }
    }

    /// Returns the name, if it is complete and belongs to this short one.
    pub(crate) fn name(&self, short: &[u8; 11]) -> Option<String> {
        if self.units.is_empty() || self.next != 0 || self.sum != checksum(short) {
            return None;
        }
        let end = self.units.iter().position(|unit| *unit == 0);
        let units = &self.units[..end.unwrap_or(self.units.len())];
        String::from_utf16(units).ok().filter(|name| !name.is_empty())
    }
}

/// Returns a short name as people write it; `case` is the byte that says which half is in lower case.
pub(crate) fn shown(short: &[u8; 11], case: u8) -> String {
    let half = |bytes: &[u8], lower: bool| -> String {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end_matches(' ');
        if lower {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let mut bytes = *short;
    if bytes[0] == 0x05 {
        bytes[0] = 0xe5;
    }
    let (base, ending) = (
        half(&bytes[..8], case & 0x08 != 0),
        half(&bytes[8..], case & 0x10 != 0),
    );
    if ending.is_empty() {
        base
    } else {
        format!("{base}.{ending}")
    }
}

/// Makes a short name for a new file that none of `taken` has; `None` when there is none left.
pub(crate) fn short(name: &str, taken: &[[u8; 11]]) -> Option<[u8; 11]> {
    let upper = name.to_ascii_uppercase();
    let (base, ending) = upper.rsplit_once('.').unwrap_or((&upper, ""));
    let valid = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-~".contains(&byte))
    };
    let fits = (1..=8).contains(&base.len()) && ending.len() <= 3 && valid(base) && valid(ending);
    let put = |base: &str, ending: &str| {
        let mut short = [b' '; 11];
        short[..base.len()].copy_from_slice(base.as_bytes());
        short[8..8 + ending.len()].copy_from_slice(ending.as_bytes());
        short
    };
    if fits {
        return Some(put(base, ending)).filter(|short| !taken.contains(short));
    }
    let clean = |text: &str, most: usize| -> String {
        let chars = text.chars().filter(|char| *char != '.' && *char != ' ');
        let chars = chars.map(|char| if char.is_ascii_alphanumeric() { char } else { '_' });
        chars.take(most).collect()
    };
    let (base, ending) = (clean(base, 8), clean(ending, 3));
    (1..1_000_000).find_map(|number: u32| {
        let tail = format!("~{number}");
        let base = &base[..base.len().min(8 - tail.len())];
        let short = put(&format!("{base}{tail}"), &ending);
        (!taken.contains(&short)).then_some(short)
    })
}

/// Makes the entries of a new file or folder: those of its long name, then the short one.
pub(crate) fn entries(
    name: &str,
    short: &[u8; 11],
    attributes: u8,
    first: u32,
    size: u32,
) -> Vec<[u8; ENTRY]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(PLACES.len());
    if !units.len().is_multiple_of(PLACES.len()) {
        units.push(0);
    }
    units.resize(parts * PLACES.len(), 0xffff);
    let sum = checksum(short);
    let mut entries = Vec::with_capacity(parts + 1);
    for part in (0..parts).rev() {
        let mut entry = [0; ENTRY];
        let last = if part + 1 == parts { LAST } else { 0 };
        entry[0] = u8::try_from(part + 1).unwrap_or(u8::MAX) | last;
        entry[11] = LONG;
        entry[13] = sum;
        for (unit, place) in units[part * PLACES.len()..].iter().zip(PLACES) {
            entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entries.push(entry);
    }
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(short);
    entry[11] = attributes;
    // The first day that FAT knows, as in the images.
    for date in [16, 18, 24] {
        entry[date..date + 2].copy_from_slice(&0x21u16.to_le_bytes());
    }
    place(&mut entry, first, size);
    entries.push(entry);
    entries
}

/// Makes an entry point to other clusters.
pub(crate) fn place(entry: &mut [u8], first: u32, size: u32) {
    let first = first.to_le_bytes();
    entry[20..22].copy_from_slice(&first[2..]);
    entry[26..28].copy_from_slice(&first[..2]);
    entry[28..32].copy_from_slice(&size.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_that_firmware_looks_for() {
        let short = |name: &str, taken: &[[u8; 11]]| short(name, taken).map(|short| shown(&short, 0));
        assert_eq!(short("bootcode.bin", &[]).unwrap(), "BOOTCODE.BIN");
        assert_eq!(short("EFI", &[]).unwrap(), "EFI");
        assert_eq!(short("bcm2711-rpi-4-b.dtb", &[]).unwrap(), "BCM271~1.DTB");
        assert_eq!(
            short("bcm2711-rpi-400.dtb", &[*b"BCM271~1DTB"]).unwrap(),
            "BCM271~2.DTB"
        );
        assert_eq!(short(".hidden", &[]).unwrap(), "~1.HID");
        assert_eq!(short("config.txt", &[*b"CONFIG  TXT"]), None);
    }

    #[test]
    fn a_long_name_is_read_as_it_was_written_and_only_before_its_own_short_name() {
        for name in ["a", "thirteen char", "bcm2711-rpi-4-b.dtb", &"x".repeat(LONGEST)] {
            let short = short(name, &[]).unwrap();
            let written = entries(name, &short, 0x20, 9, 7);
            assert!(written.len() <= 16);
            let mut long = LongName::default();
            for entry in &written[..written.len() - 1] {
                long.push(entry);
            }
            assert_eq!(long.name(&short).as_deref(), Some(name));
            assert_eq!(long.name(b"OTHER   TXT"), None);
        }
    }
}
