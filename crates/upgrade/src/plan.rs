//! What to fetch: for each extent, the source that costs the fewest bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use bundle::{EXTENT, Frame, Patches};
use verity::{BLOCK, GROUP};

use crate::release::overlapping;

/// Where a group of the new image is available without fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nowhere, or only in parts.
    Missing,
    /// In the target slot, at the right offset.
    Target,
    /// In the running slot, at the same offset.
    Running,
}

/// The input of the plan.
pub(crate) struct PlanInput<'a> {
    /// The frames of the slot image, by offset.
    pub frames: &'a [Frame],
    /// Patches that start from the running slot.
    pub patches: Option<&'a Patches>,
    /// Where each group was found.
    pub found: &'a [Found],
    /// Bytes of data in the slot image.
    pub data_len: u64,
    /// Bytes fetched for manifest and indexes.
    pub overhead: u64,
    /// Bytes fetched of the hash tree.
    pub tree: u64,
    /// Returns true if the running slot holds a data block of the new image, at any offset.
    pub local: &'a dyn Fn(u64) -> bool,
}

/// How an extent is obtained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentSource {
    /// Copied from the running slot, without fetching.
    Copy,
    /// Made by the patch of this number.
    Patch(usize),
    /// Made from the frames of these numbers, and from the blocks that the running slot holds.
    Frames(Vec<usize>),
}

/// An extent that has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its offset in the slot image.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// How it is obtained.
    pub source: ExtentSource,
    /// Bytes to fetch for it; a frame that several extents need counts for the first.
    pub fetch: u64,
}

/// Bytes to fetch, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Manifest, signatures and indexes; and what is skipped, when the bundle can only be read in order.
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

/// Why the plan is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The target slot holds the image already.
    Nothing,
    /// The bundle has patches from the running release.
    Patches,
    /// There are no patches, but the running slot holds blocks of the new image.
    Blocks,
    /// Neither: everything is fetched.
    Whole,
    /// The bundle can only be read in order: patches would cost more than they save.
    InOrder,
}

/// What will be fetched and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The extents to write: first those that are copied, then those made by patches, then those made from frames; each
    /// kind by offset, which is also its order in the bundle.
    pub extents: Vec<Extent>,
    /// The total cost, including what was already fetched for planning.
    pub cost: Cost,
    /// Bytes that fetching the whole slot image would cost.
    pub full: u64,
    /// Bytes of the slot image that the target lacks: at most these are written, plus the hash tree.
    pub write: u64,
    /// Bytes of the slot image that the target holds already.
    pub kept: u64,
    /// Bytes that are copied from the running slot unchanged.
    pub copied: u64,
    /// Why the plan is as it is.
    pub choice: Choice,
}

impl Plan {
    /// Returns the cost in percent of the whole image.
    pub fn percent(&self) -> f64 {
        self.cost.total() as f64 * 100.0 / self.full.max(1) as f64
    }

    /// Counts what is skipped of a bundle that can only be read in order: everything up to the last frame that is needed.
    pub(crate) fn count_skipped(&mut self, frames: &[Frame]) {
        let ranges = self.ranges(frames, None);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        let known = end.saturating_sub(self.cost.tree + self.cost.frames);
        self.cost.overhead = self.cost.overhead.max(known);
        if self.choice != Choice::Nothing {
            self.choice = Choice::InOrder;
        }
    }

    /// Returns the ranges of the bundle that are still to be read, in order.
    pub(crate) fn ranges(&self, frames: &[Frame], patches: Option<&Patches>) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let mut add = |offset: u64, len: u32| {
            if len > 0 {
                ranges.push(offset..offset + u64::from(len));
            }
        };
        for extent in &self.extents {
            match &extent.source {
                ExtentSource::Copy => {}
                ExtentSource::Patch(number) => {
                    if let Some(patch) = patches.and_then(|patches| patches.all().get(*number)) {
                        add(patch.file_offset, patch.stored_len);
                    }
                }
                ExtentSource::Frames(numbers) => {
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

/// Makes the plan. Pure.
pub(crate) fn plan(input: &PlanInput<'_>) -> Plan {
    let mut paid = BTreeSet::new();
    let mut cost = Cost {
        overhead: input.overhead,
        tree: input.tree,
        ..Cost::default()
    };
    let (mut kept, mut copied) = (0, 0);
    let mut extents = Vec::new();
    for offset in (0..input.data_len).step_by(EXTENT as usize) {
        let len = EXTENT.min(input.data_len - offset);
        let need = Need::of(input, offset..offset + len);
        kept += need.kept;
        if need.kept == len {
            continue;
        }
        let frames = need.frames(input);
        let fresh = frames.iter().filter(|number| !paid.contains(*number));
        let price: u64 = fresh
            .map(|number| u64::from(input.frames[*number].stored_len))
            .sum();
        let patch = input.patches.and_then(|patches| {
            let all = patches.all();
            let number = all.binary_search_by_key(&offset, |patch| patch.target).ok()?;
            Some((number, u64::from(all[number].stored_len)))
        });
        let (source, fetch) = match patch {
            _ if need.blocks.is_empty() => {
                copied += need.local;
                (ExtentSource::Copy, 0)
            }
            Some((number, stored)) if stored <= price => {
                cost.patches += stored;
                (ExtentSource::Patch(number), stored)
            }
            _ => {
                copied += need.local;
                cost.frames += price;
                paid.extend(frames.iter().copied());
                (ExtentSource::Frames(frames), price)
            }
        };
        extents.push(Extent {
            offset,
            len,
            source,
            fetch,
        });
    }
    extents.sort_by_key(|extent| match extent.source {
        ExtentSource::Copy => 0,
        ExtentSource::Patch(_) => 1,
        ExtentSource::Frames(_) => 2,
    });
    let stored: u64 = input.frames.iter().map(|frame| u64::from(frame.stored_len)).sum();
    let choice = match () {
        () if extents.is_empty() => Choice::Nothing,
        () if cost.patches > 0 => Choice::Patches,
        () if copied > 0 => Choice::Blocks,
        () => Choice::Whole,
    };
    Plan {
        extents,
        cost,
        full: stored + input.overhead,
        write: input.data_len - kept,
        kept,
        copied,
        choice,
    }
}

/// What is missing of an extent.
struct Need {
    /// Bytes that the target holds.
    kept: u64,
    /// Bytes that the running slot holds.
    local: u64,
    /// Data blocks that have to be fetched, by number.
    blocks: Vec<u64>,
}

impl Need {
    fn of(input: &PlanInput<'_>, extent: Range<u64>) -> Need {
        let mut need = Need {
            kept: 0,
            local: 0,
            blocks: Vec::new(),
        };
        for start in extent.clone().step_by(GROUP) {
            let end = extent.end.min(start + GROUP as u64);
            match input.found[(start / GROUP as u64) as usize] {
                Found::Target => need.kept += end - start,
                Found::Running => need.local += end - start,
                Found::Missing => {
                    for block in start / BLOCK as u64..end / BLOCK as u64 {
                        if (input.local)(block) {
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
    fn frames(&self, input: &PlanInput<'_>) -> Vec<usize> {
        let mut numbers = BTreeSet::new();
        for block in &self.blocks {
            let range = block * BLOCK as u64..(block + 1) * BLOCK as u64;
            let first = input
                .frames
                .partition_point(|frame| frame.raw_end() <= range.start);
            numbers.extend(first..first + overlapping(input.frames, &range).len());
        }
        numbers.into_iter().collect()
    }
}
