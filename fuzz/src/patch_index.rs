//! The index of a patch set.

use arbitrary::{Arbitrary, Unstructured};
use bundle::{EXTENT, Patch, PatchError, Patches, SOURCES_COUNT, SOURCES_MAX};
use manifest::{Digest, Manifest, PatchSet};

use crate::sample;

/// The offset of the set in the bundle.
const SET_AT: u64 = 1 << 20;

/// An index is accepted if and only if it obeys the rules of the format, which are implemented here a second time.
pub fn index(data: &[u8]) {
    if let Some((numbers, entries)) = data.split_first_chunk::<8>() {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| numbers[at + i]));
        parse(u64::from(number(0)) * 4096, u64::from(number(4)), entries);
    }
    if let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) {
        let (size, entries) = plan.lay_out();
        parse(plan.data_len(), size, &entries);
    }
}

/// A nearly valid index, and a few changed bytes.
#[derive(Debug, Arbitrary)]
struct Plan {
    /// Blocks of the last extent, and whole extents before it.
    last: u16,
    extents: u8,
    changes: Vec<(u16, u8)>,
    entries: Vec<Entry>,
}

#[derive(Debug, Arbitrary)]
struct Entry {
    /// Extents left out before it.
    skipped: u8,
    stored: u16,
    sources: Vec<(u32, u16)>,
}

impl Plan {
    fn data_len(&self) -> u64 {
        u64::from(self.extents) * EXTENT + (u64::from(self.last) % 1024 + 1) * 4096
    }

    /// Returns the bytes of patches, and the entries.
    fn lay_out(&self) -> (u64, Vec<u8>) {
        let len: usize = self
            .entries
            .iter()
            .map(|entry| 32 + 16 * entry.sources.len())
            .sum();
        let start = SET_AT + len as u64;
        let (mut place, mut target) = (start, 0);
        let mut bytes = Vec::new();
        for entry in &self.entries {
            target += u64::from(entry.skipped % 3) * EXTENT;
            let raw = EXTENT.min(self.data_len().saturating_sub(target)) as u32;
            let stored = u32::from(entry.stored) + 1;
            bytes.extend(target.to_le_bytes());
            bytes.extend(raw.to_le_bytes());
            bytes.extend(stored.to_le_bytes());
            bytes.extend(place.to_le_bytes());
            bytes.extend((entry.sources.len() as u64).to_le_bytes());
            for (offset, len) in &entry.sources {
                bytes.extend((u64::from(*offset) * 4096).to_le_bytes());
                bytes.extend(((u64::from(*len) % 1024 + 1) * 4096).to_le_bytes());
            }
            place += u64::from(stored);
            target += EXTENT;
        }
        for (at, xor) in self.changes.iter().take(3) {
            let at = usize::from(*at) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= xor;
            }
        }
        (place - start, bytes)
    }
}

fn parse(data_len: u64, size: u64, entries: &[u8]) {
    let (manifest, set) = manifest(data_len, size, entries);
    let parsed = Patches::parse(entries, &manifest, &set);
    match (&parsed, rules(data_len, size, entries).is_some()) {
        (Ok(_), true) | (Err(_), false) => {}
        (parsed, sound) => panic!("by the rules it is {sound} that this is an index, but: {parsed:?}"),
    }
    let mut other = set.clone();
    other.sha256.0[0] ^= 1;
    let unlisted = Patches::parse(entries, &manifest, &other);
    assert!(
        matches!(unlisted, Err(PatchError::Unlisted(_))),
        "its hash is not in the manifest"
    );
    let mut other = manifest.clone();
    other.patches[0].sha256.0[0] ^= 1;
    let refused = Patches::parse(entries, &other, &other.patches[0]);
    assert_eq!(refused, Err(PatchError::Hash), "its hash is not in the manifest");
    if let Ok(patches) = parsed {
        promises(&patches, data_len, size, entries);
    }
}

/// Makes a manifest with the hash of the entries.
fn manifest(data_len: u64, size: u64, entries: &[u8]) -> (Manifest, PatchSet) {
    let mut manifest = sample::manifest();
    manifest.slot.verity.tree_offset = data_len;
    let set = PatchSet {
        from: Digest::of(b"older"),
        version: manifest.version,
        offset: SET_AT,
        index_size: entries.len() as u64,
        size,
        sha256: Digest::of(entries),
    };
    manifest.patches = vec![set.clone()];
    (manifest, set)
}

/// The rules of the format; `None` when one is broken.
fn rules(data_len: u64, size: u64, bytes: &[u8]) -> Option<()> {
    let holds = |rule: bool| rule.then_some(());
    let (mut left, mut end, mut next) = (bytes, SET_AT + bytes.len() as u64, 0);
    while !left.is_empty() {
        let [target, lengths, place, count] = take(&mut left)?;
        let (raw, stored) = (lengths & 0xffff_ffff, lengths >> 32);
        holds(target % EXTENT == 0 && target >= next && target < data_len)?;
        holds(raw == EXTENT.min(data_len - target) && (1..=raw).contains(&stored))?;
        // The upper half of the word with the number is zero.
        holds(place == end && count <= SOURCES_COUNT as u64)?;
        let mut sources = 0;
        for _ in 0..count {
            let [offset, len] = take(&mut left)?;
            holds(offset % 4096 == 0 && len % 4096 == 0 && len > 0 && len < 1 << 32)?;
            offset.checked_add(len)?;
            sources += len;
        }
        holds(sources <= SOURCES_MAX as u64)?;
        end += stored;
        next = target + EXTENT;
    }
    holds(end == SET_AT + bytes.len() as u64 + size)
}

/// Takes words off the front.
fn take<const N: usize>(left: &mut &[u8]) -> Option<[u64; N]> {
    let mut words = [0; N];
    for word in &mut words {
        let (bytes, rest) = left.split_first_chunk()?;
        (*word, *left) = (u64::from_le_bytes(*bytes), rest);
    }
    Some(words)
}

/// Checks what a value of the patches proves.
fn promises(patches: &Patches, data_len: u64, size: u64, entries: &[u8]) {
    let again: Vec<u8> = patches.all().iter().flat_map(entry).collect();
    assert!(again == entries, "an index gives back every number");
    let mut stored = 0;
    for patch in patches.all() {
        assert_eq!(patches.at(patch.target), Some(patch));
        assert!(patch.target + u64::from(patch.raw_len) <= data_len);
        assert!(patch.sources_len() <= SOURCES_MAX as u64);
        stored += u64::from(patch.stored_len);
    }
    assert_eq!(stored, size);
    assert_eq!(patches.at(1), None);
}

/// Encodes an entry.
pub fn entry(patch: &Patch) -> Vec<u8> {
    let mut bytes = patch.target.to_le_bytes().to_vec();
    bytes.extend(patch.raw_len.to_le_bytes());
    bytes.extend(patch.stored_len.to_le_bytes());
    bytes.extend(patch.file_offset.to_le_bytes());
    bytes.extend((patch.sources.len() as u64).to_le_bytes());
    for source in &patch.sources {
        bytes.extend(source.offset.to_le_bytes());
        bytes.extend(u64::from(source.len).to_le_bytes());
    }
    bytes
}
