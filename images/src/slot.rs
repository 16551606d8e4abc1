//! Puts the parts of a slot one behind the other, under one hash tree.

use manifest::{Digest, PART_ALIGNMENT, Part, PartKind, SlotImage, Verity};
use verity::{Builder, Geometry, GeometryError, SALT};

/// A part before it has its place.
pub struct Content {
    /// What it is for.
    pub kind: PartKind,
    /// Its file name.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A slot's parts and tree, and their description.
pub struct Slot {
    /// The description for the manifest.
    pub image: SlotImage,
    /// The parts, in order.
    pub parts: Vec<Content>,
    /// The hash tree.
    pub tree: Vec<u8>,
    /// Bytes of the tree above its leaf level, at its start.
    pub upper_tree: usize,
}

impl Slot {
    /// Returns up to `len` bytes of the parts and the zeros between them, from `offset` on; fewer only at their end.
    pub fn data(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.image.verity.tree_offset.min(offset + len as u64);
        let mut data = vec![0; end.saturating_sub(offset) as usize];
        for (part, content) in self.image.parts.iter().zip(&self.parts) {
            let from = part.offset.max(offset);
            let to = (part.offset + part.size).min(end);
            if from < to {
                let piece = &content.data[(from - part.offset) as usize..(to - part.offset) as usize];
                data[(from - offset) as usize..(to - offset) as usize].copy_from_slice(piece);
            }
        }
        data
    }
}

/// A slot could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// There is too much or nothing to hash.
    #[error("cannot hash the slot")]
    Geometry(#[from] GeometryError),
    /// The tree could not be built.
    #[error("cannot hash the slot")]
    Tree(#[from] std::io::Error),
    /// The parts do not fit into the board's slots.
    #[error(
        "the slot image is {need} bytes, and the board's slots hold {have}; \
         raise `disk.slotSize` in the board file, or leave out an overlay"
    )]
    TooLarge {
        /// Bytes needed.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
}

/// Lays out the parts and hashes them. The end of a slot belongs to the manifest.
pub fn assemble(parts: Vec<Content>, slot_size: u64) -> Result<Slot, SlotError> {
    let mut described = Vec::new();
    let mut end = 0u64;
    for part in &parts {
        let size = part.data.len() as u64;
        described.push(Part {
            kind: part.kind,
            name: part.name.clone(),
            offset: end,
            size,
            sha256: Digest::of(&part.data),
        });
        end = (end + size).next_multiple_of(PART_ALIGNMENT);
    }
    let geometry = Geometry::for_len(end)?;
    let size = end + geometry.tree_len();
    let have = slot_size.saturating_sub(manifest::trailer::AREA as u64);
    if size > have {
        return Err(SlotError::TooLarge { need: size, have });
    }
    let mut builder = Builder::new(geometry.clone(), &SALT);
    for part in &parts {
        builder.update(&part.data);
        builder.update(&padding(part.data.len()));
    }
    let tree = builder.finish()?;
    let verity = Verity {
        data_blocks: geometry.data_blocks(),
        tree_offset: end,
        tree_size: geometry.tree_len(),
        salt: Digest(SALT),
        root_hash: Digest(tree.root),
    };
    Ok(Slot {
        image: SlotImage {
            size,
            parts: described,
            verity,
        },
        parts,
        upper_tree: geometry.upper_len() as usize,
        tree: tree.bytes,
    })
}

/// Returns the zeros between a part of a length and the next one.
pub fn padding(len: usize) -> Vec<u8> {
    vec![0; len.next_multiple_of(PART_ALIGNMENT as usize) - len]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: PartKind, name: &str, len: usize) -> Content {
        Content {
            kind,
            name: name.into(),
            data: vec![1; len],
        }
    }

    #[test]
    fn parts_are_aligned_and_the_tree_follows() {
        let parts = vec![
            part(PartKind::Kernel, "vmlinuz", 5000),
            part(PartKind::Initramfs, "initramfs.cpio", 4096),
            part(PartKind::Root, "root.erofs", 1),
        ];
        let slot = assemble(parts, 1 << 20).unwrap();
        let offsets: Vec<u64> = slot.image.parts.iter().map(|part| part.offset).collect();
        assert_eq!(offsets, [0, 8192, 12288]);
        assert_eq!(slot.image.verity.tree_offset, 16384);
        assert_eq!(slot.image.verity.data_blocks, 4);
        assert_eq!(slot.image.size, 16384 + slot.tree.len() as u64);
    }

    #[test]
    fn data_is_the_parts_and_the_zeros_between_them() {
        let parts = vec![
            part(PartKind::Kernel, "vmlinuz", 5000),
            part(PartKind::Root, "root.erofs", 4097),
        ];
        let slot = assemble(parts, 1 << 20).unwrap();
        let all = slot.data(0, 1 << 20);
        assert_eq!(all.len(), 16384);
        let ones: Vec<usize> = (0..all.len()).filter(|at| all[*at] == 1).collect();
        assert_eq!(ones, (0..5000).chain(8192..12289).collect::<Vec<_>>());
        for (offset, len) in [(0, 4096), (4000, 5000), (6000, 100), (12000, 4096), (16384, 1)] {
            let end = all.len().min(offset + len);
            assert_eq!(
                slot.data(offset as u64, len),
                all[offset..end],
                "{len} from {offset}"
            );
        }
        let tree = verity::build(&mut all.as_slice(), &Geometry::for_len(16384).unwrap(), &SALT).unwrap();
        assert_eq!(tree.bytes, slot.tree);
    }

    #[test]
    fn the_leaf_level_of_the_tree_is_its_end() {
        for (len, upper) in [
            (4096, 0),
            (8192, 0),
            (128 * 4096, 0),
            (129 * 4096, 4096),
            (1 << 20, 4096),
        ] {
            let slot = assemble(vec![part(PartKind::Root, "root.erofs", len)], 8 << 20).unwrap();
            assert_eq!(slot.upper_tree, upper, "{len} bytes");
        }
    }

    #[test]
    fn what_does_not_fit_says_what_to_change() {
        let error = assemble(vec![part(PartKind::Kernel, "vmlinuz", 1 << 20)], 1 << 20)
            .err()
            .unwrap();
        assert!(error.to_string().contains("disk.slotSize"));
    }
}
