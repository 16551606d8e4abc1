//! Makes the patches that lead from an older release to this one.
//!
//! For each extent of the new slot image, [`similarity`] finds the pieces of the old one that are most like it, and the
//! bundle's own code packs the extent as what must be added to them. A patch that saves nothing is left out.

mod older;
mod similarity;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use bundle::{Cache, EXTENT, Frame, ImageName, NewPatch, Source};

pub use self::older::{Older, OlderError};
use self::similarity::Similarity;
use crate::slot::Slot;

/// Makes all patches from an old slot's data to a new slot; `frames` are those of the new bundle.
///
/// The same input gives the same patches, with and without a cache of earlier ones.
pub fn make(
    old: &[u8],
    slot: &Slot,
    frames: &[Frame],
    cache: Option<&dyn Cache>,
) -> io::Result<Vec<NewPatch>> {
    let similarity = Similarity::to(old);
    let extents = slot.image.verity.tree_offset.div_ceil(EXTENT) as usize;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= extents {
                return Ok(done);
            }
            let target = number as u64 * EXTENT;
            let saved = cost_in_frames(frames, target);
            // Zeros cost nothing in frames; nothing beats that.
            if saved > 0 {
                let patch = patch(old, slot, target, &similarity, cache)?;
                if patch.cost() < saved {
                    done.push(patch);
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("packing does not panic"))
            .collect::<io::Result<Vec<_>>>()
    })?;
    let mut patches = done.concat();
    patches.sort_by_key(|patch| patch.target);
    Ok(patches)
}

fn patch(
    old: &[u8],
    slot: &Slot,
    target: u64,
    similarity: &Similarity,
    cache: Option<&dyn Cache>,
) -> io::Result<NewPatch> {
    let extent = slot.data(target, EXTENT as usize);
    let same = old.get(target as usize..target as usize + extent.len());
    let sources = if same == Some(extent.as_slice()) {
        vec![Source {
            offset: target,
            len: extent.len() as u32,
        }]
    } else {
        similarity.sources(&extent)
    };
    let mut older = Vec::new();
    for source in &sources {
        older.extend_from_slice(&old[source.offset as usize..][..source.len as usize]);
    }
    NewPatch::pack(target, &extent, sources, &older, cache)
}

/// Sums up what the extent at `target` costs without a patch: its share of each frame that it lies in.
fn cost_in_frames(frames: &[Frame], target: u64) -> u64 {
    let slot = frames.iter().filter(|frame| frame.image == ImageName::SLOT);
    slot.map(|frame| {
        let start = frame.raw_offset.max(target);
        let end = frame.raw_end().min(target + EXTENT);
        u64::from(frame.stored_len) * end.saturating_sub(start) / u64::from(frame.raw_len)
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use bundle::{Decoder, Patch, Writer};
    use manifest::PartKind;
    use samples::noise;

    use super::*;
    use crate::slot::{self, Content};

    fn slot(kernel: Vec<u8>, root: Vec<u8>) -> Slot {
        let part = |kind, name: &str, data| Content {
            kind,
            name: name.into(),
            data,
        };
        let parts = vec![
            part(PartKind::Kernel, "vmlinuz", kernel),
            part(PartKind::Root, "root.erofs", root),
        ];
        slot::assemble(parts, 64 << 20).unwrap()
    }

    fn frames(slot: &Slot) -> Vec<Frame> {
        let mut writer = Writer::new(Cursor::new(Vec::new())).level(1);
        let data = slot.data(0, slot.image.verity.tree_offset as usize);
        writer.add(ImageName::SLOT, 0, &mut data.as_slice()).unwrap();
        writer.seal().frames().to_vec()
    }

    fn apply(patch: &NewPatch, old: &[u8]) -> Vec<u8> {
        let pieces = patch.sources.iter();
        let pieces = pieces.map(|source| &old[source.offset as usize..][..source.len as usize]);
        let placed = Patch {
            target: patch.target,
            raw_len: patch.raw_len,
            sources: patch.sources.clone(),
            file_offset: 0,
            stored_len: patch.stored.len() as u32,
        };
        let mut out = Vec::new();
        let older = pieces.collect::<Vec<_>>().concat();
        let mut decoder = Decoder::new().unwrap();
        decoder.patch(&placed, &older, &patch.stored, &mut out).unwrap();
        out
    }

    #[test]
    fn patches_make_every_extent_that_is_worth_one() {
        let old = slot(noise(700_000, 1), noise(5 << 20, 2));
        // The kernel grew, so all behind it moved; there is new, and there is nothing.
        let kernel = [noise(100_000, 3), noise(700_000, 1)].concat();
        let root = [noise(5 << 20, 2), vec![0; 8 << 20], noise(3 << 20, 4)].concat();
        let new = slot(kernel, root);
        let old = old.data(0, old.image.verity.tree_offset as usize);
        let patches = make(&old, &new, &frames(&new), None).unwrap();
        let targets: Vec<u64> = patches.iter().map(|patch| patch.target / EXTENT).collect();
        // The third extent is all zero; the fourth and fifth hold new noise, which no patch shortens.
        assert_eq!(targets, [0, 1]);
        for patch in &patches {
            assert_eq!(apply(patch, &old), new.data(patch.target, EXTENT as usize));
        }
        assert!(
            patches[1].cost() < 1000,
            "{} bytes for nothing new",
            patches[1].cost()
        );
        let again = make(&old, &new, &frames(&new), None).unwrap();
        assert!(again == patches, "other patches from the same input");
    }

    #[test]
    fn an_extent_that_stayed_needs_itself_alone() {
        let old = slot(noise(4 << 20, 1), noise(5000, 2));
        let new = slot(noise(4 << 20, 1), noise(5000, 3));
        let old = old.data(0, old.image.verity.tree_offset as usize);
        let patches = make(&old, &new, &frames(&new), None).unwrap();
        let whole = Source {
            offset: 0,
            len: EXTENT as u32,
        };
        assert_eq!(patches[0].sources, [whole]);
        assert!(patches[0].cost() < 1000);
    }

    #[test]
    fn an_extents_share_of_frames_is_counted() {
        let frame = |raw_offset, raw_len, stored_len| Frame {
            image: ImageName::SLOT,
            codec: bundle::Codec::Zstd,
            raw_len,
            raw_offset,
            file_offset: 0,
            stored_len,
            sha256: manifest::Digest([0; 32]),
        };
        let frames = [
            frame(0, 1 << 20, 1000),
            frame(EXTENT - 4096, 16384, 400),
            frame(EXTENT + (1 << 20), 1 << 20, 7),
        ];
        assert_eq!(cost_in_frames(&frames, 0), 1100);
        assert_eq!(cost_in_frames(&frames, EXTENT), 307);
        assert_eq!(cost_in_frames(&frames, 2 * EXTENT), 0);
    }
}
