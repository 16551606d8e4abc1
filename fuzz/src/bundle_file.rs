//! A whole bundle, opened and read to its end.

use std::io::Cursor;

use arbitrary::{Arbitrary, Unstructured};
use bundle::{Codec, Frame, Header, INDEX_AT, ImageName, Patch, Preamble, Reader, Source};
use manifest::{Digest, Image, Manifest, Part, PartKind, PatchSet, SlotImage, TrustedKey};

use crate::bundle_index::entry;
use crate::patch_index;
use crate::sample::{self, Signer};

const BLOCK: usize = 4096;
/// Parts and hash tree of the slot images here: four blocks.
const SLOT: usize = 4 * BLOCK;

/// A signed bundle opens and returns its original bytes; a damaged one returns those, or an error.
pub fn bundle(data: &[u8]) {
    let key = Signer::number(1).key();
    // Nobody signed these.
    assert!(read(data, key).is_err());
    if let Ok(preamble) = Preamble::read(&mut Cursor::new(data)) {
        assert!(
            preamble.json.len() <= manifest::MAX_JSON && preamble.signatures.len() <= bundle::SIGNATURES_MAX
        );
    }
    if let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) {
        case.check(key);
    }
}

/// A small bundle, and what is done to the file.
#[derive(Debug, Arbitrary)]
struct Case {
    /// What the slot image is filled with, block by block.
    blocks: [Filling; 4],
    /// Where frames of the slot end, in blocks.
    ends: [bool; 3],
    codecs: [u8; 4],
    bootcode: Option<(Filling, u8)>,
    /// Bytes of a patch, which need not be valid: nothing verifies them before they are used.
    patch: Option<(Filling, u8)>,
    damage: Vec<Damage>,
    /// Bytes that the file is longer or shorter.
    longer: i8,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Filling {
    first: u8,
    step: u8,
}

#[derive(Debug, Arbitrary)]
struct Damage {
    section: u8,
    at: u16,
    xor: u8,
}

impl Filling {
    fn bytes(self, len: usize) -> Vec<u8> {
        let step = usize::from(self.step);
        (0..len)
            .map(|at| self.first.wrapping_add((at * step / 7) as u8))
            .collect()
    }
}

impl Case {
    fn check(&self, key: TrustedKey) {
        let whole = self.write();
        let (contents, patches) = read(&whole.file, key).expect("a bundle that was signed opens");
        assert!(
            contents == whole.frames && patches == whole.patches,
            "what comes out went in"
        );

        let mut file = whole.file.clone();
        for damage in self.damage.iter().take(4) {
            let sections = [
                (0, 64),
                (4096, whole.json),
                (53_248, 256),
                (INDEX_AT as usize, whole.index),
                (whole.set_at, 64),
                (64, file.len()),
            ];
            let (start, len) = sections[usize::from(damage.section) % sections.len()];
            let at = start + usize::from(damage.at) % len.max(1);
            if let Some(byte) = file.get_mut(at) {
                *byte ^= damage.xor;
            }
        }
        file.resize(file.len().saturating_add_signed(self.longer.into()), 0);
        if let Ok((contents, patches)) = read(&file, key) {
            assert!(
                contents == whole.frames && patches == whole.patches,
                "what comes out was signed"
            );
            // Nothing depends on the untrusted comment, and a patch is verified by its result.
            let mut same = file;
            for free in [53_267..53_277, whole.set_at + 48..whole.file.len()] {
                if let Some(bytes) = same.get_mut(free.clone()) {
                    bytes.copy_from_slice(&whole.file[free]);
                }
            }
            assert!(same == whole.file, "every other byte counts");
        }
    }

    /// Makes the file by the tables in `docs/formats.md`, independently of the crate's writer.
    fn write(&self) -> Whole {
        let slot: Vec<u8> = self
            .blocks
            .iter()
            .flat_map(|filling| filling.bytes(BLOCK))
            .collect();
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in (1..=4).filter(|end| *end == 4 || self.ends[end - 1]) {
            pieces.push((
                ImageName::SLOT,
                start * BLOCK,
                slot[start * BLOCK..end * BLOCK].to_vec(),
            ));
            start = end;
        }
        let mut manifest = manifest(&slot);
        if let Some((filling, len)) = self.bootcode {
            let code = filling.bytes(usize::from(len) + 1);
            manifest.images.push(Image {
                name: ImageName::BOOTCODE,
                offset: Some(32_768),
                size: code.len() as u64,
                sha256: Digest::of(&code),
            });
            pieces.push((ImageName::BOOTCODE, 0, code));
        }
        let frames_at = (INDEX_AT as usize + pieces.len() * bundle::ENTRY_LEN).next_multiple_of(BLOCK);
        let (mut index, mut stored) = (Vec::new(), Vec::new());
        for (number, (image, offset, raw)) in pieces.iter().enumerate() {
            let (codec, packed) = pack(raw, self.codecs[number % 4]);
            index.extend(entry(&Frame {
                image: *image,
                codec,
                raw_len: raw.len() as u32,
                raw_offset: *offset as u64,
                file_offset: if codec == Codec::Zero {
                    0
                } else {
                    (frames_at + stored.len()) as u64
                },
                stored_len: packed.len() as u32,
                sha256: Digest::of(raw),
            }));
            stored.extend(packed);
        }
        manifest.index = manifest::Index {
            frames: pieces.len() as u32,
            sha256: Digest::of(&index),
        };
        let set_at = (frames_at + stored.len()).next_multiple_of(BLOCK);
        let patches: Vec<Patch> = self.patch.iter().map(|(_, len)| patch(set_at, *len)).collect();
        let patch_index = patches.iter().flat_map(patch_index::entry).collect::<Vec<_>>();
        manifest.patches.extend(patches.iter().map(|patch| PatchSet {
            from: Digest::of(b"older"),
            version: manifest.version,
            offset: set_at as u64,
            index_size: patch_index.len() as u64,
            size: u64::from(patch.stored_len),
            sha256: Digest::of(&patch_index),
        }));
        let json = manifest.to_json().expect("the manifest is sound");
        let signature = Signer::number(1).sign(&json);
        let lengths = [json.len(), signature.len(), index.len()].map(|len| len as u64);
        let header = Header::for_lengths(lengths[0], lengths[1], lengths[2]).expect("all sections are short");
        let mut file = header.encode().to_vec();
        for (at, section) in [
            (4096, &json),
            (53_248, &signature.into_bytes()),
            (INDEX_AT as usize, &index),
        ] {
            file.resize(at, 0);
            file.extend(section);
        }
        file.resize(frames_at, 0);
        file.extend(stored);
        if let Some((filling, len)) = self.patch {
            file.resize(set_at, 0);
            file.extend(patch_index);
            file.extend(filling.bytes(usize::from(len) + 1));
        }
        Whole {
            file,
            json: json.len(),
            index: index.len(),
            set_at,
            patches,
            frames: pieces.into_iter().map(|(_, _, raw)| raw).collect(),
        }
    }
}

/// A file, lengths and places of some sections, and its content.
struct Whole {
    file: Vec<u8>,
    json: usize,
    index: usize,
    set_at: usize,
    patches: Vec<Patch>,
    frames: Vec<Vec<u8>>,
}

fn manifest(slot: &[u8]) -> Manifest {
    let mut manifest = sample::manifest();
    let kinds = [PartKind::Kernel, PartKind::Initramfs, PartKind::Root];
    let parts = kinds.into_iter().enumerate().map(|(number, kind)| Part {
        kind,
        name: "part".into(),
        offset: (number * BLOCK) as u64,
        size: BLOCK as u64,
        sha256: Digest::of(&slot[number * BLOCK..(number + 1) * BLOCK]),
    });
    let mut verity = manifest.slot.verity;
    (verity.data_blocks, verity.tree_offset, verity.tree_size) = (3, 3 * BLOCK as u64, BLOCK as u64);
    manifest.slot = SlotImage {
        size: SLOT as u64,
        parts: parts.collect(),
        verity,
    };
    manifest.device_trees = None;
    manifest.images = vec![Image {
        name: ImageName::SLOT,
        offset: None,
        size: SLOT as u64,
        sha256: Digest::of(slot),
    }];
    manifest
}

/// Compresses a frame as requested, or in the way that remains.
fn pack(raw: &[u8], codec: u8) -> (Codec, Vec<u8>) {
    if raw.iter().all(|byte| *byte == 0) && codec.is_multiple_of(3) {
        return (Codec::Zero, Vec::new());
    }
    let packed = zstd::bulk::compress(raw, 1).expect("memory can be packed");
    if codec % 3 < 2 && packed.len() < raw.len() {
        (Codec::Zstd, packed)
    } else {
        (Codec::Raw, raw.to_vec())
    }
}

/// Makes the entry of the only patch of a set.
fn patch(set_at: usize, len: u8) -> Patch {
    Patch {
        target: 0,
        raw_len: 3 * BLOCK as u32,
        sources: vec![Source {
            offset: 0,
            len: BLOCK as u32,
        }],
        file_offset: set_at as u64 + 48,
        stored_len: u32::from(len) + 1,
    }
}

/// Reads every frame, and the index of every patch set.
fn read(file: &[u8], key: TrustedKey) -> Result<(Vec<Vec<u8>>, Vec<Patch>), bundle::Error> {
    let mut reader = Reader::open(Cursor::new(file), &[key])?;
    assert_eq!(reader.index().file_len(), file.len() as u64);
    let frames = reader.index().frames().to_vec();
    let (mut contents, mut out) = (Vec::new(), Vec::new());
    for frame in &frames {
        reader.frame(frame, &mut out)?;
        assert_eq!(out.len(), frame.raw_len as usize);
        contents.push(out.clone());
    }
    let mut patches = Vec::new();
    for set in reader.manifest().patches.clone() {
        patches.extend_from_slice(reader.patches(&set)?.all());
    }
    for patch in &patches {
        // Whether it applies is another matter.
        let unpacked = reader.patch(patch, &[0; BLOCK], &mut out)?;
        assert_eq!(out.len(), unpacked.map_or(0, |()| patch.raw_len as usize));
    }
    Ok((contents, patches))
}
