//! Forgets what a reset is to forget, also when the power goes in the middle of it.
//!
//! First the request is recorded: a mark in the first sector of STATE, which no file system uses. From then on each
//! start goes on with what was begun, before anybody looks at STATE. When nothing is left that a stranger must not have,
//! the node becomes nobody's; then the mark goes, and leaves STATE blank. When only DATA was to be forgotten, STATE stays
//! as it was, and the node whose it was.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use layout::Name;
use medium::{FileMedium, Medium};
use node::disk::{Devices, Disk};
use node::power::ResetScope;
use owner::Owner;

use super::owner::write_to;

/// Says how much of a partition is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it: it may hold secrets.
    Whole,
    /// So much that the next boot finds it blank.
    Head,
}

/// Returns the partitions that a reset forgets, in order.
///
/// CONFIG goes with STATE: a config that still lay there would bring the node back as it was.
pub fn plan(scope: ResetScope) -> &'static [(&'static str, Extent)] {
    const CONFIG: (&str, Extent) = (Name::Config.as_str(), Extent::Whole);
    const DATA: (&str, Extent) = (Name::Data.as_str(), Extent::Head);
    const STATE: (&str, Extent) = (MARKED, Extent::Whole);
    match scope {
        ResetScope::State => &[CONFIG, STATE],
        ResetScope::Data => &[DATA],
        ResetScope::All => &[CONFIG, DATA, STATE],
    }
}

/// Tells whether the node is nobody's after a reset: without its STATE it is, without its DATA it stays whose it was.
fn forgets_owner(scope: ResetScope) -> bool {
    plan(scope).iter().any(|(name, _)| *name == MARKED)
}

/// The first superblock and the group descriptors behind it.
const HEAD: u64 = 4 * 1024 * 1024;

/// Bytes that are written at a time.
const CHUNK: u64 = 256 * 1024;

/// The partition that remembers a reset until it is done.
const MARKED: &str = Name::State.as_str();

/// The partition that remembers whose the node is.
const OWNED: &str = Name::BootState.as_str();

/// What a disk writes whole or not at all.
pub const SECTOR: u64 = 512;

/// Makes the sector that says what is to be forgotten.
fn mark(scope: ResetScope) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    sector[..8].copy_from_slice(b"BPFORGET");
    sector[8] = match scope {
        ResetScope::State => 1,
        ResetScope::All => 2,
        ResetScope::Data => 3,
    };
    sector
}

/// Returns what is to be forgotten by a reset that was begun on this STATE, and not finished.
pub fn begun(state: &mut dyn Medium) -> io::Result<Option<ResetScope>> {
    let mut sector = [0; SECTOR as usize];
    state.read_at(0, &mut sector)?;
    let scopes = [ResetScope::State, ResetScope::All, ResetScope::Data];
    Ok(scopes.into_iter().find(|scope| mark(*scope) == sector))
}

/// What became of a partition that was to be forgotten.
pub type Forgotten = (&'static str, io::Result<()>);

/// Opens a partition by its name; none when the disk has no such partition.
pub type Open<'a> = &'a mut dyn FnMut(&'static str) -> io::Result<Option<Box<dyn Medium>>>;

/// Forgets. What cannot be forgotten is told, the rest is done all the same; then the next start tries again.
pub fn forget(scope: ResetScope, open: Open<'_>) -> Vec<Forgotten> {
    let marked = with(open, MARKED, |state| {
        state.write_at(0, &mark(scope))?;
        state.sync()
    });
    let mut told: Vec<Forgotten> = Vec::new();
    for &(name, extent) in plan(scope) {
        let done = with(open, name, |partition| {
            let len = match extent {
                Extent::Whole => partition.len(),
                Extent::Head => partition.len().min(HEAD),
            };
            let start = if name == MARKED { SECTOR } else { 0 };
            zero(partition, start..len)
        });
        match done {
            Ok(false) => {}
            done => told.push((name, done.map(drop))),
        }
    }
    if told.iter().any(|(_, done)| done.is_err()) {
        return told;
    }
    // Without the mark of the reset it would stay somebody's whose config is gone, and locked.
    if forgets_owner(scope)
        && let Err(error) = with(open, OWNED, |bootstate| write_to(bootstate, &Owner::Nobody))
    {
        told.push((OWNED, Err(error)));
        return told;
    }
    let unmarked = with(open, MARKED, |state| zero(state, 0..SECTOR));
    if let Some(error) = marked.err().or(unmarked.err()) {
        told.retain(|(name, _)| *name != MARKED);
        told.push((MARKED, Err(error)));
    }
    told
}

/// Goes on with a reset that was begun on this disk; none when there is nothing to go on with.
pub fn resume(devices: &Devices, disk: &Disk) -> Option<Vec<Forgotten>> {
    let open = &mut opener(devices, disk);
    // Whoever needs STATE will say why it cannot be read.
    let state = open(MARKED).ok().flatten();
    let scope = state.and_then(|mut state| begun(state.as_mut()).ok().flatten())?;
    Some(forget(scope, open))
}

/// Returns what opens the partitions of a disk.
pub fn opener(
    devices: &Devices,
    disk: &Disk,
) -> impl FnMut(&'static str) -> io::Result<Option<Box<dyn Medium>>> {
    move |name| match devices.partition(disk, name)? {
        Some(partition) => Ok(Some(Box::new(open(&partition.device)?))),
        None => Ok(None),
    }
}

/// Opens a partition, or a file of a test, for reading and writing.
pub fn open(device: &Path) -> io::Result<FileMedium> {
    FileMedium::new(File::options().read(true).write(true).open(device)?)
}

/// Overwrites a range with zeros, and waits until they are on the medium.
pub fn zero(medium: &mut dyn Medium, range: Range<u64>) -> io::Result<()> {
    let zeros = vec![0; CHUNK as usize];
    let mut at = range.start;
    while at < range.end {
        let len = CHUNK.min(range.end - at);
        medium.write_at(at, &zeros[..len as usize])?;
        at += len;
    }
    medium.sync()
}

/// Does something to a partition; false when there is no such partition.
fn with(
    open: Open<'_>,
    name: &'static str,
    act: impl FnOnce(&mut dyn Medium) -> io::Result<()>,
) -> io::Result<bool> {
    match open(name)? {
        Some(mut partition) => act(partition.as_mut()).map(|()| true),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests;
