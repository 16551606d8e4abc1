//! What is committed together with a system: the lowest version that may boot, and the trusted keys.

use std::io;

use manifest::TrustedKey;
use manifest::chain::{self, ChainError, Link};
use slots::{Record, Slot};
use state::kinds::BootStatus;

use super::places::Places;
use super::record::{InSlot, manifest_in, release_in};

/// Returns the record of a committed slot.
///
/// Only now is the floor raised: a release that is never committed must not lock the old one out.
pub fn kept(record: &Record, slot: Slot, release: Option<&InSlot>) -> Record {
    let floor = release.map(|release| release.manifest.floor).unwrap_or_default();
    record.commit(slot).raise_floor(floor)
}

/// Why the keys of a committed release could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The chain cannot be read or written.
    #[error("cannot store the keys of this release: the loader keeps the keys it had")]
    Io(#[from] io::Error),
    /// The chain does not accept them.
    #[error("the keys of this release are not accepted: the loader keeps the keys it had")]
    Chain(#[from] ChainError),
}

/// Makes the loader trust the keys of the running, committed release; returns true if that changed something.
///
/// It may be called again at any time: after a power cut between the commit and this, the next start completes it.
pub fn keep_keys(places: &Places, boot: &BootStatus, kept_now: bool) -> Result<bool, KeysError> {
    let (Some(slot), Some(hash)) = (boot.slot, boot.manifest.as_deref()) else {
        return Ok(false);
    };
    let Some(release) = release_in(&places.slots[slot.index()], Some(hash)) else {
        return Ok(false);
    };
    let loaded = places.chain().read()?;
    let other = manifest_in(&places.slots[slot.other().index()], None);
    let other = other.as_ref().map(|manifest| manifest.keys.as_slice());
    if !is_news(&loaded.links, &release, other, kept_now) {
        return Ok(false);
    }
    let link = Link {
        json: release.json,
        signatures: release.signatures,
    };
    let links = chain::extend(&loaded.links, link)?;
    places.chain().write(&loaded, &links)?;
    Ok(true)
}

/// Decides whether the key chain needs the keys of the running release.
///
/// The loader trusts the end of the chain. Without a chain it trusts the keys it was built with; they came with a system
/// that was flashed, so the manifest in the other slot represents them.
fn is_news(links: &[Link], running: &InSlot, other: Option<&[TrustedKey]>, kept_now: bool) -> bool {
    let wanted = &running.manifest.keys;
    if wanted.is_empty() {
        return false;
    }
    let Some(last) = links.last() else {
        return other.map_or(kept_now, |keys| !same(keys, wanted));
    };
    // Rolling back to an older release does not restore a retired key.
    let older = manifest::Manifest::parse_unverified(&last.json)
        .is_ok_and(|last| running.manifest.version < last.version);
    !older && last.json != running.json && !chain::end(links).is_some_and(|keys| same(&keys, wanted))
}

/// Compares regardless of order.
fn same(one: &[TrustedKey], other: &[TrustedKey]) -> bool {
    one.iter().all(|key| other.contains(key)) && other.iter().all(|key| one.contains(key))
}

#[cfg(test)]
mod tests;
