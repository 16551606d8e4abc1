//! Writes the slot image: every group is verified before any byte of it is written.

use medium::{Changes, Medium, check_slot};
use verity::{BLOCK, GROUP};

use crate::control::{Counter, Stage};
use crate::plan::{Extent, ExtentSource, Found};
use crate::survey::{Prepared, Slots};
use crate::{Error, Release, Source};

/// Makes the target slot hold the image, and verifies it by reading it back. Does not touch the manifest.
pub(crate) fn write<S: Source>(
    release: &mut Release<S>,
    slots: &mut Slots<'_>,
    prepared: &mut Prepared,
    counter: &mut Counter<'_>,
) -> Result<(), Error> {
    let plan = prepared.plan.clone();
    let spent = plan.cost.overhead + plan.cost.tree;
    counter.stage(Stage::Fetch, plan.cost.total() - spent)?;
    release.expect(&plan.ranges(release.frames(), prepared.patches.as_ref()));
    let mut writer = Writer {
        release,
        prepared,
        changes: Changes::default(),
        buffer: Vec::new(),
        sources: Vec::new(),
    };
    for extent in &plan.extents {
        writer.extent(slots, extent, counter)?;
        counter.tally(writer.changes.tally())?;
    }
    writer.tree(slots)?;
    counter.tally(writer.changes.tally())?;
    read_back(release, slots, counter)
}

/// Verifies that the medium, and not a cache, holds what the signed root hash covers.
fn read_back<S: Source>(
    release: &Release<S>,
    slots: &mut Slots<'_>,
    counter: &mut Counter<'_>,
) -> Result<(), Error> {
    let slot = slots.slot;
    let target = &mut *slots.target;
    target
        .sync()
        .and_then(|()| target.drop_cache())
        .map_err(|error| Error::Slot("write", slot, error))?;
    let image = &release.manifest().slot;
    counter.stage(Stage::Verify, image.size)?;
    let mut stopped = Ok(());
    check_slot(target, 0, image, |bytes| {
        // A check that is under way is finished; a request to stop takes effect after it.
        if stopped.is_ok() {
            stopped = counter.done(bytes);
        }
    })
    .map_err(|error| Error::ReadBack(slot, error))?;
    stopped
}

struct Writer<'a, S> {
    release: &'a mut Release<S>,
    prepared: &'a mut Prepared,
    changes: Changes,
    buffer: Vec<u8>,
    sources: Vec<u8>,
}

impl<S: Source> Writer<'_, S> {
    fn extent(
        &mut self,
        slots: &mut Slots<'_>,
        extent: &Extent,
        counter: &mut Counter<'_>,
    ) -> Result<(), Error> {
        let made = match &extent.source {
            ExtentSource::Copy => self.compose(slots, extent, &[], true, counter)?,
            ExtentSource::Patch(number) => self.patched(slots, *number, counter)?,
            ExtentSource::Frames(numbers) => self.compose(slots, extent, numbers, true, counter)?,
        };
        let proved = made && self.prove(extent);
        if !proved {
            // Something that this node holds is damaged. The bundle has everything.
            let range = extent.offset..extent.offset + extent.len;
            let frames = self.release.frames();
            let first = frames.partition_point(|frame| frame.raw_end() <= range.start);
            let end = frames.partition_point(|frame| frame.raw_offset < range.end);
            let numbers = (first..end).collect::<Vec<_>>();
            self.compose(slots, extent, &numbers, false, counter)?;
            if !self.prove(extent) {
                return Err(Error::Inconsistent(extent.offset));
            }
        }
        self.store(slots.target, extent)
            .map_err(|error| Error::Slot("write", slots.slot, error))
    }

    /// Makes an extent with a patch; returns false when its sources cannot be used or the patch does not apply.
    fn patched(
        &mut self,
        slots: &mut Slots<'_>,
        number: usize,
        counter: &mut Counter<'_>,
    ) -> Result<bool, Error> {
        let patches = self.prepared.patches.as_ref();
        let Some(patch) = patches.and_then(|patches| patches.all().get(number)).cloned() else {
            return Ok(false);
        };
        self.sources.clear();
        for source in &patch.sources {
            let start = self.sources.len();
            let end = source.offset.checked_add(u64::from(source.len));
            if end.is_none_or(|end| end > slots.old.slot.size) {
                return Ok(false);
            }
            self.sources.resize(start + source.len as usize, 0);
            let read = slots.running.read_at(source.offset, &mut self.sources[start..]);
            if read.is_err() {
                return Ok(false);
            }
        }
        let made = self.release.patch(&patch, &self.sources, &mut self.buffer)?;
        counter.fetched(u64::from(patch.stored_len))?;
        Ok(made)
    }

    /// Makes an extent from frames and, when `local`, from what the running slot holds; returns false when that cannot be
    /// read.
    fn compose(
        &mut self,
        slots: &mut Slots<'_>,
        extent: &Extent,
        numbers: &[usize],
        local: bool,
        counter: &mut Counter<'_>,
    ) -> Result<bool, Error> {
        self.buffer.clear();
        self.buffer.resize(extent.len as usize, 0);
        for number in numbers {
            let frame = self.release.frames()[*number];
            let fetched = self.release.frame_into(&frame, extent.offset, &mut self.buffer)?;
            counter.fetched(fetched)?;
        }
        if !local {
            return Ok(true);
        }
        for (group, found, piece) in pieces(&self.prepared.found, extent, &mut self.buffer) {
            let read = match found {
                Found::Target => Ok(()),
                Found::Running => slots.running.read_at(group * GROUP as u64, piece),
                Found::Missing => {
                    let blocks = piece.as_chunks_mut::<BLOCK>().0;
                    let first = group * (GROUP / BLOCK) as u64;
                    let known = self.prepared.local.as_ref();
                    (first..).zip(blocks).try_for_each(|(number, block)| {
                        match known.and_then(|known| known.find(number)) {
                            Some(at) => slots.running.read_at(at * BLOCK as u64, block),
                            None => Ok(()),
                        }
                    })
                }
            };
            if read.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks every group of the extent that is to be written, and keeps its leaves.
    fn prove(&mut self, extent: &Extent) -> bool {
        let Prepared {
            found,
            groups,
            leaves,
            ..
        } = &mut *self.prepared;
        if self.buffer.len() as u64 != extent.len {
            return false;
        }
        let leaves = leaves.as_chunks_mut::<BLOCK>().0;
        pieces(found, extent, &mut self.buffer).all(|(group, found, piece)| {
            if found == Found::Target {
                return true;
            }
            match groups.check(group, piece) {
                Ok(made) => {
                    leaves[group as usize] = made.unwrap_or(leaves[group as usize]);
                    true
                }
                Err(_) => false,
            }
        })
    }

    /// Writes the groups of the extent that the target lacks.
    fn store(&mut self, target: &mut dyn Medium, extent: &Extent) -> std::io::Result<()> {
        for (group, found, piece) in pieces(&self.prepared.found, extent, &mut self.buffer) {
            if found != Found::Target {
                self.changes.write(target, group * GROUP as u64, piece)?;
            }
        }
        Ok(())
    }

    /// Writes the hash tree.
    fn tree(&mut self, slots: &mut Slots<'_>) -> Result<(), Error> {
        let mut tree = self.prepared.groups.upper().to_vec();
        if self.prepared.groups.geometry().tree_blocks() > 0 {
            tree.extend_from_slice(&self.prepared.leaves);
        }
        let at = self.release.manifest().slot.verity.tree_offset;
        self.changes
            .write(slots.target, at, &tree)
            .map_err(|error| Error::Slot("write", slots.slot, error))
    }
}

/// Splits an extent into its groups: number, location, bytes.
fn pieces<'a>(
    found: &'a [Found],
    extent: &Extent,
    buffer: &'a mut [u8],
) -> impl Iterator<Item = (u64, Found, &'a mut [u8])> {
    let first = extent.offset / GROUP as u64;
    (first..)
        .zip(buffer.chunks_mut(GROUP))
        .map(|(group, piece)| (group, found[group as usize], piece))
}
