//! Finds what both slots already hold.

use std::io;

use bundle::Patches;
use manifest::{Manifest, trailer};
use medium::Medium;
use slots::Slot;
use verity::{BLOCK, GROUP, Geometry, Groups};

use crate::blocks::LocalBlocks;
use crate::control::{Counter, Stage};
use crate::plan::{self, Found, Plan, PlanInput};
use crate::{Control, Error, Release, Source};

/// The two slots of a node.
pub struct Slots<'a> {
    /// The partition that the running system was started from. Only read.
    pub running: &'a mut dyn Medium,
    /// Its manifest, which the loader has verified.
    pub old: &'a Manifest,
    /// The other partition.
    pub target: &'a mut dyn Medium,
    /// The slot of the target.
    pub slot: Slot,
}

/// Everything that is known before the first byte is written.
pub struct Prepared {
    /// What will be fetched and written.
    pub plan: Plan,
    pub(crate) groups: Groups,
    pub(crate) found: Vec<Found>,
    /// The leaf level of the tree, as far as it is known.
    pub(crate) leaves: Vec<u8>,
    pub(crate) patches: Option<Patches>,
    pub(crate) local: Option<LocalBlocks>,
    /// The target holds the new manifest already.
    pub(crate) trailer: bool,
}

/// Reads both slots, and plans. Fetches only what the plan needs from the bundle, and writes nothing.
pub fn prepare<S: Source>(
    release: &mut Release<S>,
    slots: &mut Slots<'_>,
    control: &mut dyn Control,
) -> Result<Prepared, Error> {
    prepare_counted(release, slots, &mut Counter::new(control))
}

pub(crate) fn prepare_counted<S: Source>(
    release: &mut Release<S>,
    slots: &mut Slots<'_>,
    counter: &mut Counter<'_>,
) -> Result<Prepared, Error> {
    // What a failed write left in the cache is not on the medium.
    let fresh = slots.target.drop_cache();
    fresh.map_err(|error| Error::Slot("read", slots.slot, error))?;
    // Patches and leaves come after the data: reading them first would transfer all data twice.
    let in_order = release.comes_in_order();
    let patches = match in_order {
        true => None,
        false => release.patches(&slots.old.slot.verity.root_hash)?,
    };
    let (groups, mut tree_bytes) = release.groups()?;
    counter.stage(Stage::Survey, groups.geometry().data_len())?;
    counter.fetched(release.overhead() + tree_bytes)?;

    let old = running_groups(slots);
    let mut leaves = vec![0; groups.geometry().groups() as usize * BLOCK];
    let found = survey(&groups, old.as_ref(), slots, &mut leaves, counter)?;

    // With patches the leaf level is computed; without, it is the index of the blocks that the running slot holds too.
    let missing = found.contains(&Found::Missing);
    let blocks = missing && !in_order && patches.is_none() && slots.same_salt(release.manifest());
    let local = match old.filter(|_| blocks) {
        None => None,
        Some(old) => {
            let (bytes, fetched) = fetch_leaves(release, &groups)?;
            counter.fetched(fetched)?;
            tree_bytes += fetched;
            let tree_offset = slots.old.slot.verity.tree_offset;
            let local = LocalBlocks::read(slots.running, tree_offset, &old, &groups, &bytes);
            Some(local.map_err(Error::Running)?)
        }
    };
    let mut plan = plan::plan(&PlanInput {
        frames: release.frames(),
        patches: patches.as_ref(),
        found: &found,
        data_len: groups.geometry().data_len(),
        overhead: release.overhead(),
        tree: tree_bytes,
        local: &|block| local.as_ref().is_some_and(|local| local.find(block).is_some()),
    });
    if in_order {
        plan.count_skipped(release.frames());
    }
    let (json, signatures) = release.texts();
    let wanted = trailer::encode(json, signatures)?;
    let area = read_trailer(slots.target).ok();
    Ok(Prepared {
        plan,
        groups,
        found,
        leaves,
        patches,
        local,
        trailer: area == Some(wanted),
    })
}

impl Slots<'_> {
    fn same_salt(&self, new: &Manifest) -> bool {
        self.old.slot.verity.salt == new.slot.verity.salt
    }
}

/// Reads the trailer of a slot.
pub(crate) fn read_trailer(medium: &mut dyn Medium) -> io::Result<Vec<u8>> {
    let mut area = vec![0; trailer::AREA];
    let at = medium.len().checked_sub(trailer::AREA as u64);
    let at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
    medium.read_at(at, &mut area)?;
    Ok(area)
}

/// Reads the tree above the leaves of the running slot; none when it cannot be read, or does not match its manifest.
fn running_groups(slots: &mut Slots<'_>) -> Option<Groups> {
    let verity = &slots.old.slot.verity;
    let geometry = Geometry::new(verity.data_blocks).ok()?;
    let mut upper = vec![0; usize::try_from(geometry.upper_len()).ok()?];
    slots.running.read_at(verity.tree_offset, &mut upper).ok()?;
    Groups::new(geometry, &verity.salt.0, verity.root_hash.0, upper).ok()
}

/// Reads the target slot group by group. The leaves of groups that are present are kept, since they belong to the tree.
/// What cannot be read counts as missing: writing it again is what repairs a card.
fn survey(
    groups: &Groups,
    old: Option<&Groups>,
    slots: &mut Slots<'_>,
    leaves: &mut [u8],
    counter: &mut Counter<'_>,
) -> Result<Vec<Found>, Error> {
    let geometry = groups.geometry();
    let mut found = Vec::with_capacity(geometry.groups() as usize);
    let mut data = vec![0; GROUP];
    let blocks = leaves.as_chunks_mut::<BLOCK>().0;
    for (group, leaf) in (0..geometry.groups()).zip(blocks) {
        let data = &mut data[..geometry.group_len(group)];
        let read = slots.target.read_at(group * GROUP as u64, data);
        counter.done(data.len() as u64)?;
        let checked = read.ok().and_then(|()| groups.check(group, data).ok());
        let unmoved = old.is_some_and(|old| {
            old.hash(group) == groups.hash(group) && old.geometry().group_len(group) == data.len()
        });
        found.push(match checked {
            Some(known) => {
                *leaf = known.unwrap_or(*leaf);
                Found::Target
            }
            None if unmoved => Found::Running,
            None => Found::Missing,
        });
    }
    Ok(found)
}

/// Fetches the leaf level of the new tree, and checks it.
fn fetch_leaves<S: Source>(release: &mut Release<S>, groups: &Groups) -> Result<(Vec<u8>, u64), Error> {
    let tree_offset = release.manifest().slot.verity.tree_offset;
    let geometry = groups.geometry();
    let start = tree_offset + geometry.upper_len();
    let (bytes, fetched) = release.range(start..tree_offset + geometry.tree_len())?;
    for (group, block) in (0..).zip(bytes.as_chunks::<BLOCK>().0) {
        groups.check_leaves(group, block)?;
    }
    Ok((bytes, fetched))
}
