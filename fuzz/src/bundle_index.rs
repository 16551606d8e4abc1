//! A bundle's frame index.

use arbitrary::{Arbitrary, Unstructured};
use bundle::{Codec, ENTRY_LEN, FRAME_ALIGN, FRAME_MAX, Frame, INDEX_AT, ImageName, Index, IndexError};
use manifest::{Digest, Image, Manifest};

use crate::sample;

/// An index is accepted if and only if it obeys the rules of `docs/formats.md`, which are implemented here a second time.
pub fn index(data: &[u8]) {
    if let Some((sizes, entries)) = data.split_first_chunk::<12>() {
        let size = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|i| sizes[at + i])));
        parse(&[Some(size(0)), Some(size(4)), Some(size(8))], entries);
    }
    if let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) {
        let (sizes, entries) = plan.lay_out();
        parse(&sizes, &entries);
    }
}

/// A nearly valid index: entries follow each other, and a few bytes are changed.
#[derive(Debug, Arbitrary)]
struct Plan {
    esp: bool,
    bootcode: bool,
    changes: Vec<(u16, u8)>,
    /// Which piece is first in the file.
    lead: u8,
    pieces: Vec<Piece>,
}

#[derive(Debug, Arbitrary)]
struct Piece {
    image: u8,
    codec: u8,
    /// In blocks.
    len: u16,
    /// Blocks left out before it.
    hole: u8,
    /// How much shorter it is stored.
    saved: u16,
}

impl Piece {
    fn len(&self) -> u32 {
        (u32::from(self.len) % (FRAME_MAX as u32 / 4096) + 1) * 4096
    }

    fn stored(&self) -> u32 {
        match self.codec % 3 {
            0 => 0,
            1 => self.len() - 1 - u32::from(self.saved).min(self.len() - 1),
            _ => self.len(),
        }
    }
}

impl Plan {
    /// Returns the images' sizes and the entries.
    fn lay_out(&self) -> ([Option<u64>; 3], Vec<u8>) {
        let mut pieces: Vec<&Piece> = self.pieces.iter().take(32).collect();
        pieces.sort_by_key(|piece| piece.image % 3);
        let mut file = (INDEX_AT + (pieces.len() * ENTRY_LEN) as u64).next_multiple_of(4096);
        let lead = usize::from(self.lead) % pieces.len().max(1);
        let front = pieces.get(lead).map_or(0, |piece| piece.stored());
        let start = file;
        file += u64::from(front);
        let mut ends = [0_u64; 3];
        let mut bytes = Vec::new();
        for (number, piece) in pieces.into_iter().enumerate() {
            let image = piece.image % 3;
            let hole = if image == 1 { u64::from(piece.hole) } else { 0 };
            let offset = ends[usize::from(image)] + hole * FRAME_ALIGN;
            let (len, codec, stored) = (piece.len(), piece.codec % 3, piece.stored());
            ends[usize::from(image)] = offset + u64::from(len);
            let place = if number == lead { start } else { file };
            let mut entry = [0; ENTRY_LEN];
            (entry[0], entry[1]) = (image, codec);
            entry[4..8].copy_from_slice(&len.to_le_bytes());
            entry[8..16].copy_from_slice(&offset.to_le_bytes());
            entry[16..24].copy_from_slice(&if codec == 0 { 0 } else { place }.to_le_bytes());
            entry[24..28].copy_from_slice(&stored.to_le_bytes());
            file += if number == lead { 0 } else { u64::from(stored) };
            bytes.extend(entry);
        }
        for (at, xor) in self.changes.iter().take(3) {
            let at = usize::from(*at) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= xor;
            }
        }
        let sizes = [
            Some(ends[0]),
            self.esp.then_some(ends[1] + 4096),
            self.bootcode.then_some(ends[2]),
        ];
        (sizes, bytes)
    }
}

fn parse(sizes: &[Option<u64>; 3], entries: &[u8]) {
    let manifest = manifest(sizes, entries);
    let parsed = Index::parse(entries, &manifest);
    match (&parsed, rules(sizes, entries)) {
        (Ok(_), true) | (Err(_), false) => {}
        (parsed, sound) => panic!("by the rules it is {sound} that this is an index, but: {parsed:?}"),
    }
    let mut other = manifest.clone();
    other.index.sha256.0[31] ^= 1;
    let refused = Index::parse(entries, &other);
    assert!(
        matches!(refused, Err(IndexError::Hash | IndexError::Length { .. })),
        "its hash is not in the manifest"
    );
    if let Ok(index) = parsed {
        promises(&index, entries);
    }
}

/// Makes a manifest with the hash of the entries.
fn manifest(sizes: &[Option<u64>; 3], entries: &[u8]) -> Manifest {
    let mut manifest = sample::manifest();
    let names = [ImageName::SLOT, ImageName::ESP, ImageName::BOOTCODE];
    manifest.images.clear();
    for (name, size) in names.into_iter().zip(sizes) {
        manifest.images.extend(size.map(|size| Image {
            name,
            offset: None,
            size,
            sha256: Digest::of(b""),
        }));
    }
    manifest.index = manifest::Index {
        frames: (entries.len() / ENTRY_LEN) as u32,
        sha256: Digest::of(entries),
    };
    manifest
}

/// The rules of `docs/formats.md`.
fn rules(sizes: &[Option<u64>; 3], bytes: &[u8]) -> bool {
    let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
    let mut places = Vec::new();
    let mut last = (0, 0_u128);
    let mut covered = [0_u128; 3];
    for entry in entries {
        let number = |at: usize, len: usize| {
            let bytes = entry[at..at + len].iter().rev();
            bytes.fold(0_u128, |number, byte| number << 8 | u128::from(*byte))
        };
        let (image, codec) = (usize::from(entry[0]), entry[1]);
        let (raw, offset, place, stored) = (number(4, 4), number(8, 8), number(16, 8), number(24, 4));
        let zeros = number(2, 2) == 0 && number(28, 4) == 0 && number(64, 8) == 0;
        let Some(Some(size)) = sizes.get(image) else {
            return false;
        };
        let kept = match codec {
            0 => place == 0 && stored == 0,
            1 => stored < raw,
            2 => stored == raw,
            _ => false,
        };
        let inside = offset % 4096 == 0 && offset + raw <= u128::from(*size);
        let follows = (image, offset) >= last;
        if !(zeros && kept && inside && follows && (1..=4 << 20).contains(&raw)) {
            return false;
        }
        if codec != 0 {
            places.push((place, stored));
        }
        last = (image, offset + raw);
        covered[image] += raw;
    }
    let whole = [0, 2]
        .into_iter()
        .all(|image| sizes[image].is_none_or(|size| covered[image] == u128::from(size)));
    places.sort_unstable();
    let mut file = u128::from((INDEX_AT + bytes.len() as u64).next_multiple_of(4096));
    let together = places.into_iter().all(|(place, stored)| {
        let follows = place == file;
        file += stored;
        follows
    });
    rest.is_empty() && whole && together
}

/// Checks what a value of an index proves.
fn promises(index: &Index, entries: &[u8]) {
    let frames = index.frames();
    assert_eq!(frames.len() * ENTRY_LEN, entries.len());
    let again: Vec<u8> = frames.iter().flat_map(entry).collect();
    assert!(again == entries, "an index gives back every number");
    let parts = [ImageName::SLOT, ImageName::ESP, ImageName::BOOTCODE].map(|image| index.of(image));
    assert_eq!(parts.concat(), frames, "every frame belongs to one image");
    for pair in frames.windows(2).filter(|pair| pair[0].image == pair[1].image) {
        assert!(pair[0].raw_end() <= pair[1].raw_offset, "frames do not overlap");
    }
    let stored: u64 = frames.iter().map(|frame| u64::from(frame.stored_len)).sum();
    let start = (INDEX_AT + entries.len() as u64).next_multiple_of(4096);
    assert_eq!(index.file_len(), start + stored);
}

/// Encodes an entry, by the table in `docs/formats.md`.
pub fn entry(frame: &Frame) -> [u8; ENTRY_LEN] {
    let mut entry = [0; ENTRY_LEN];
    entry[0] = match frame.image {
        ImageName::SLOT => 0,
        ImageName::ESP => 1,
        ImageName::BOOTCODE => 2,
        other => panic!("{other} was not among the images"),
    };
    entry[1] = match frame.codec {
        Codec::Zero => 0,
        Codec::Zstd => 1,
        Codec::Raw => 2,
    };
    entry[4..8].copy_from_slice(&frame.raw_len.to_le_bytes());
    entry[8..16].copy_from_slice(&frame.raw_offset.to_le_bytes());
    entry[16..24].copy_from_slice(&frame.file_offset.to_le_bytes());
    entry[24..28].copy_from_slice(&frame.stored_len.to_le_bytes());
    entry[32..64].copy_from_slice(&frame.sha256.0);
    entry
}
