//! The entries of a folder.

use crate::name::{self, ENTRY, LONG, LongName};

/// What marks an entry that was deleted, and may be used again.
pub(crate) const DELETED: u8 = 0xe5;
/// The attribute of folders, and that of the volume's label.
pub(crate) const FOLDER: u8 = 0x10;
const LABEL: u8 = 0x08;

/// An entry that stands for a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name, as people see it.
    pub name: String,
    /// Its short name.
    pub short: [u8; 11],
    /// Set for a folder.
    pub folder: bool,
    /// Its first cluster; 0 for an empty file.
    pub first: u32,
    /// The length of a file.
    pub size: u32,
    /// The number of its own entry in the folder.
    pub slot: usize,
    /// How many entries of its long name come before it.
    pub long: usize,
}

/// Lists what is in a folder with these bytes, without itself, its parent and the label.
pub(crate) fn items(bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut long = LongName::default();
    for (slot, entry) in bytes.as_chunks::<ENTRY>().0.iter().enumerate() {
        match (entry[0], entry[11]) {
            (0, _) => break,
            (DELETED, _) => long = LongName::default(),
            (_, attributes) if attributes & 0x3f == LONG => long.push(entry),
            (_, attributes) if attributes & LABEL != 0 => long = LongName::default(),
            (b'.', attributes)
                if attributes & FOLDER != 0 && entry[2..11].iter().all(|byte| *byte == b' ') =>
            {
                long = LongName::default();
            }
            (_, attributes) => {
                let mut short = [0; 11];
                short.copy_from_slice(&entry[..11]);
                let half = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                let given = long.name(&short);
                items.push(Item {
                    long: given.as_ref().map_or(0, |_| long.entries),
                    name: given.unwrap_or_else(|| name::shown(&short, entry[12])),
                    short,
                    folder: attributes & FOLDER != 0,
                    first: half(20) << 16 & 0x0fff_0000 | half(26),
                    size: half(30) << 16 | half(28),
                    slot,
                });
                long = LongName::default();
            }
        }
    }
    items
}

/// Returns a sector, or any number of whole entries, in which everything is free.
pub(crate) fn unused(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes.iter_mut().step_by(ENTRY).for_each(|first| *first = DELETED);
    bytes
}

/// Finds so many free entries in a row within one sector of `sector` bytes. What comes after the end of the list is not free:
/// see [`end`].
pub(crate) fn room(bytes: &[u8], count: usize, sector: usize) -> Option<usize> {
    let end = end(bytes).unwrap_or(bytes.len() / ENTRY);
    let per_sector = sector / ENTRY;
    let free = |slot: usize| slot < end && bytes[slot * ENTRY] == DELETED;
    (0..bytes.len() / ENTRY)
        .filter(|slot| slot % per_sector + count <= per_sector)
        .find(|slot| (*slot..slot + count).all(free))
}

/// Returns the number of the entry that ends the list before the folder's last cluster does.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    bytes
        .as_chunks::<ENTRY>()
        .0
        .iter()
        .position(|entry| entry[0] == 0)
}
