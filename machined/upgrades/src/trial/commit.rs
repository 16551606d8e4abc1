//! What is kept together with a system: the lowest version that may boot, and the keys that are trusted.

use std::io;

use manifest::TrustedKey;
use manifest::chain::{self, ChainError, Link};
use slots::{Record, Slot};
use state::kinds::BootStatus;

use super::places::Places;
use super::record::{InSlot, manifest_in, release_in};

/// Returns the record of a slot that is kept.
///
/// Only now is the floor raised: a release that is never kept must not shut the old one out.
pub fn kept(record: &Record, slot: Slot, release: Option<&InSlot>) -> Record {
    let floor = release.map(|release| release.manifest.floor).unwrap_or_default();
    record.commit(slot).raise_floor(floor)
}

/// Why the keys of a kept release could not be kept with it.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The chain cannot be read or written.
    #[error("cannot keep the keys of this release: the loader goes on with those it had")]
    Io(#[from] io::Error),
    /// The chain cannot take them.
    #[error("the keys of this release are not taken on: the loader goes on with those it had")]
    Chain(#[from] ChainError),
}

/// Makes the loader trust the keys that the running, kept release says; returns whether that was new.
///
/// It may be called again at any time: after a power cut between the commit and this, the next start makes it true.
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

/// Decides whether the loader has to be told of the keys of the running release.
///
/// The end of the chain is what it trusts. Without a chain those are the keys it was built with; they came with a system
/// that was flashed, so that the manifest in the other slot stands for them.
fn is_news(links: &[Link], running: &InSlot, other: Option<&[TrustedKey]>, kept_now: bool) -> bool {
    let wanted = &running.manifest.keys;
    if wanted.is_empty() {
        return false;
    }
    let Some(last) = links.last() else {
        return other.map_or(kept_now, |keys| !same(keys, wanted));
    };
    // Who goes back to an older release does not bring a retired key back.
    let older = manifest::Manifest::parse_unverified(&last.json)
        .is_ok_and(|last| running.manifest.version < last.version);
    !older && last.json != running.json && !chain::end(links).is_some_and(|keys| same(&keys, wanted))
}

/// Compares without regard to order.
fn same(one: &[TrustedKey], other: &[TrustedKey]) -> bool {
    one.iter().all(|key| other.contains(key)) && other.iter().all(|key| one.contains(key))
}

#[cfg(test)]
mod tests;
