//! What to fetch: for each extent whichever way costs the fewest bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use bundle::{EXTENT, Frame, Patches};
use verity::{BLOCK, GROUP};

use crate::release::overlapping;

/// Where a group of the new image is to be had without fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nowhere, or in pieces.
    Missing,
    /// In the target slot, at its place.
    Target,
    /// In the running slot, at the same place.
    Running,
}

/// What the plan is made from.
pub(crate) struct Offer<'a> {
    /// The frames of the slot image, by place.
    pub frames: &'a [Frame],
    /// Patches that start from the running slot.
    pub patches: Option<&'a Patches>,
    /// Where each group is found.
    pub found: &'a [Found],
    /// Bytes of data in the slot image.
    pub data_len: u64,
    /// Bytes fetched for manifest and indexes.
    pub overhead: u64,
    /// Bytes fetched of the hash tree.
    pub tree: u64,
    /// Whether the running slot has a data block of the new image, anywhere.
    pub local: &'a dyn Fn(u64) -> bool,
}

/// How an extent is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From the running slot, without fetching.
    Copy,
    /// By the patch of this number.
    Patch(usize),
    /// By the frames of these numbers, and from the running slot what that has.
    Frames(Vec<usize>),
}

/// An extent that has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its place in the slot image.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// How it is had.
    pub way: Way,
    /// Bytes that it costs to fetch; a frame that several extents need counts for the first.
    pub fetch: u64,
}

/// Bytes to fetch, by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Manifest, signatures, indexes; and what is passed over, where a bundle comes in order only.
    pub overhead: u64,
    /// The hash tree.
    pub tree: u64,
    /// Patches.
    pub patches: u64,
    /// Frames.
    pub frames: u64,
}

impl Cost {
    /// Returns the sum.
    pub fn total(&self) -> u64 {
        self.overhead + self.tree + self.patches + self.frames
    }
}

/// What the plan rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The target slot holds the image already.
    Nothing,
    /// The bundle has patches from the running release.
    Patches,
    /// It has none, but the running slot has blocks of the new image.
    Blocks,
    /// Neither: all of it is fetched.
    Whole,
    /// The bundle comes from its start to its end only: patches would cost more than they save.
    InOrder,
}

/// What will be fetched and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The extents to be written: first those that are copied, then patched ones, then those made of frames; in each
    /// by place, which is their order in the bundle, too.
    pub extents: Vec<Extent>,
    /// What it costs; what was spent on finding out is in it.
    pub cost: Cost,
    /// Bytes that fetching the whole slot image would cost.
    pub full: u64,
    /// Bytes of the slot image that the target does not hold: at most these are written, and the hash tree.
    pub write: u64,
    /// Bytes of the slot image that the target holds already.
    pub kept: u64,
    /// Bytes that come from the running slot as they are.
    pub copied: u64,
    /// What it rests on.
    pub choice: Choice,
}

impl Plan {
    /// Returns what it costs in percent of the whole image.
    pub fn percent(&self) -> f64 {
        self.cost.total() as f64 * 100.0 / self.full.max(1) as f64
    }

    /// Counts what is passed over of a bundle that comes in order: all up to the last frame that is needed.
    pub(crate) fn pass_over(&mut self, frames: &[Frame]) {
        let ranges = self.ranges(frames, None);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let known = end.saturating_sub(self.cost.tree + self.cost.frames);
        self.cost.overhead = self.cost.overhead.max(known);
        if self.choice != Choice::Nothing {
            self.choice = Choice::InOrder;
        }
    }

    /// Returns the ranges of the bundle that are read from here on, in order.
    pub(crate) fn ranges(&self, frames: &[Frame], patches: Option<&Patches>) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let mut add = |offset: u64, len: u32| {
            if len > 0 {
                ranges.push(offset..offset + u64::from(len));
            }
        };
        for extent in &self.extents {
            match &extent.way {
                Way::Copy => {}
                Way::Patch(number) => {
                    if let Some(patch) = patches.and_then(|patches| patches.all().get(*number)) {
                        add(patch.file_offset, patch.stored_len);
                    }
                }
                Way::Frames(numbers) => {
                    for number in numbers {
                        add(frames[*number].file_offset, frames[*number].stored_len);
                    }
                }
            }
        }
        ranges.dedup();
        ranges
    }
}

/// Plans. Pure.
pub(crate) fn plan(offer: &Offer<'_>) -> Plan {
    let mut paid = BTreeSet::new();
    let mut cost = Cost {
        overhead: offer.overhead,
        tree: offer.tree,
        ..Cost::default()
    };
    let (mut kept, mut copied) = (0, 0);
    let mut extents = Vec::new();
    for offset in (0..offer.data_len).step_by(EXTENT as usize) {
        let len = EXTENT.min(offer.data_len - offset);
        let need = Need::of(offer, offset..offset + len);
        kept += need.kept;
        if need.kept == len {
            continue;
        }
        let frames = need.frames(offer);
        let fresh = frames.iter().filter(|number| !paid.contains(*number));
        let price: u64 = fresh
            .map(|number| u64::from(offer.frames[*number].stored_len))
            .sum();
        let patch = offer.patches.and_then(|patches| {
            let all = patches.all();
            let number = all.binary_search_by_key(&offset, |patch| patch.target).ok()?;
            Some((number, u64::from(all[number].stored_len)))
        });
        let (way, fetch) = match patch {
            _ if need.blocks.is_empty() => {
                copied += need.local;
                (Way::Copy, 0)
            }
            Some((number, stored)) if stored <= price => {
                cost.patches += stored;
                (Way::Patch(number), stored)
            }
            _ => {
                copied += need.local;
                cost.frames += price;
                paid.extend(frames.iter().copied());
                (Way::Frames(frames), price)
            }
        };
        extents.push(Extent {
            offset,
            len,
            way,
            fetch,
        });
    }
    extents.sort_by_key(|extent| match extent.way {
        Way::Copy => 0,
        Way::Patch(_) => 1,
        Way::Frames(_) => 2,
    });
    let stored: u64 = offer.frames.iter().map(|frame| u64::from(frame.stored_len)).sum();
    let choice = match () {
        () if extents.is_empty() => Choice::Nothing,
        () if cost.patches > 0 => Choice::Patches,
        () if copied > 0 => Choice::Blocks,
        () => Choice::Whole,
    };
    Plan {
        extents,
        cost,
        full: stored + offer.overhead,
        write: offer.data_len - kept,
        kept,
        copied,
        choice,
    }
}

/// What an extent lacks.
struct Need {
    /// Bytes that the target holds.
    kept: u64,
    /// Bytes that the running slot holds.
    local: u64,
    /// Data blocks that are nowhere, by number.
    blocks: Vec<u64>,
}

impl Need {
    fn of(offer: &Offer<'_>, extent: Range<u64>) -> Need {
        let mut need = Need {
            kept: 0,
            local: 0,
            blocks: Vec::new(),
        };
        for start in extent.clone().step_by(GROUP) {
            let end = extent.end.min(start + GROUP as u64);
            match offer.found[(start / GROUP as u64) as usize] {
                Found::Target => need.kept += end - start,
                Found::Running => need.local += end - start,
                Found::Missing => {
                    for block in start / BLOCK as u64..end / BLOCK as u64 {
                        if (offer.local)(block) {
                            need.local += BLOCK as u64;
                        } else {
                            need.blocks.push(block);
                        }
                    }
                }
            }
        }
        need
    }

    /// Returns the numbers of the frames that hold the missing blocks.
    fn frames(&self, offer: &Offer<'_>) -> Vec<usize> {
        let mut numbers = BTreeSet::new();
        for block in &self.blocks {
            let range = block * BLOCK as u64..(block + 1) * BLOCK as u64;
            let first = offer
                .frames
                .partition_point(|frame| frame.raw_end() <= range.start);
            numbers.extend(first..first + overlapping(offer.frames, &range).len());
        }
        numbers.into_iter().collect()
    }
}
