//! The machine that is switched on after the cut.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use bootloader_core::{Attempt, Boot, Cause, Expected, Step, examine};
use layout::{Extent, Name, Table};
use manifest::{Arch, Digest, Part, PartKind, TrustedKey, VerifiedManifest, chain, trailer};
use medium::{Medium, check_slot};
use slots::{COPY_OFFSETS, Loaded, RECORD_LEN, Reason, Record, Slot, Version};

use crate::{Image, Recorder};

/// Where the loader's data is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// BOOTSTATE.
    pub record: Extent,
    /// SLOT-A, SLOT-B.
    pub slots: [Extent; 2],
}

impl Places {
    /// Takes the places from a partition table.
    pub fn of(table: &Table) -> Self {
        let at = |name| table.layout.extent(name);
        Self {
            record: at(Name::BootState),
            slots: [at(Name::SlotA), at(Name::SlotB)],
        }
    }

    /// Returns the extent of a slot's manifest.
    pub fn trailer(&self, slot: Slot) -> Extent {
        let slot = self.slots[slot.index()];
        let len = trailer::AREA as u64;
        Extent {
            start: slot.end() - len,
            len,
        }
    }

    /// Returns the extent of a slot's image: everything before its manifest.
    pub fn image(&self, slot: Slot) -> Extent {
        let slot = self.slots[slot.index()];
        Extent {
            len: slot.len - trailer::AREA as u64,
            ..slot
        }
    }
}

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The slot.
    pub slot: Slot,
    /// Its version.
    pub version: Version,
    /// Why this one.
    pub cause: Cause,
    /// Hash of its manifest.
    pub manifest: Digest,
    /// Set when the whole slot matches the root hash, as dm-verity would find.
    pub whole: bool,
}

/// The outcome of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Exactly one slot was started.
    Started(Started),
    /// No slot was started, for these reasons.
    Stuck(Vec<(Slot, Reason)>),
}

/// Both copies of the key chain.
type Chain = [u128; 2];

/// A slot's content, and a part of it, or the whole slot when there is none.
type Asked = (u128, Digest, Option<PartKind>);

/// A machine with a loader. It caches its findings by content: media differ little.
#[derive(Debug)]
pub struct Node {
    keys: Vec<TrustedKey>,
    arch: Arch,
    trusted: RefCell<HashMap<Chain, Vec<TrustedKey>>>,
    manifests: RefCell<HashMap<(Chain, u128), Result<VerifiedManifest, Reason>>>,
    answers: RefCell<HashMap<Asked, bool>>,
}

impl Node {
    /// Makes a machine whose loader trusts these keys.
    pub fn new(keys: &[TrustedKey], arch: Arch) -> Self {
        Self {
            keys: keys.to_vec(),
            arch,
            trusted: RefCell::default(),
            manifests: RefCell::default(),
            answers: RefCell::default(),
        }
    }

    /// Reads both copies of the slot record.
    pub fn record(image: &Image, places: &Places) -> Loaded {
        let copy = |at: u64| image.bytes(places.record.start + at, RECORD_LEN);
        slots::load(&copy(COPY_OFFSETS[0]), &copy(COPY_OFFSETS[1]))
    }

    /// Switches the machine on, up to the first instruction of a kernel. What the loader writes is recorded.
    ///
    /// The order is that of `bootloader/efi/src/boot.rs`: keys, manifests, decision, count, parts, record, start.
    pub fn boot(&self, medium: &mut Recorder, places: &Places) -> io::Result<Outcome> {
        let mut loaded = Self::record(medium.image(), places);
        let manifests = Slot::ALL.map(|slot| self.manifest(medium.image(), places, slot));
        let findings = manifests.each_ref().map(|found| {
            found
                .as_ref()
                .map(|manifest| manifest.version)
                .map_err(|reason| *reason)
        });
        let mut boot = Boot::new(&loaded, findings);
        loop {
            match boot.step() {
                Step::Refuse { .. } => {}
                Step::Try(attempt) => {
                    match self.attempt(medium, places, &mut loaded, &mut boot, &attempt, &manifests)? {
                        Ok(started) => return Ok(Outcome::Started(started)),
                        Err(reason) => boot.failed(attempt.slot, reason),
                    }
                }
                Step::Exhausted(restored) => {
                    if let Some(record) = restored {
                        store(medium, places, &mut loaded, record)?;
                    }
                    return Ok(Outcome::Stuck(boot.failures().collect()));
                }
            }
        }
    }

    fn attempt(
        &self,
        medium: &mut Recorder,
        places: &Places,
        loaded: &mut Loaded,
        boot: &mut Boot,
        attempt: &Attempt,
        manifests: &[Result<VerifiedManifest, Reason>; 2],
    ) -> io::Result<Result<Started, Reason>> {
        if let Some(record) = attempt.before_load {
            store(medium, places, loaded, record)?;
            boot.stored(record);
        }
        let slot = attempt.slot;
        let manifest = match &manifests[slot.index()] {
            Ok(manifest) => manifest,
            Err(reason) => return Ok(Err(*reason)),
        };
        for (part, reason) in [
            (manifest.kernel(), Reason::KernelHash),
            (manifest.initramfs(), Reason::InitramfsHash),
        ] {
            if !self.holds(medium.image(), places, slot, manifest, Some(part)) {
                return Ok(Err(reason));
            }
        }
        if let Some(record) = attempt.before_start {
            store(medium, places, loaded, record)?;
            boot.stored(record);
        }
        Ok(Ok(Started {
            slot,
            version: attempt.version,
            cause: attempt.cause,
            manifest: manifest.id(),
            whole: self.holds(medium.image(), places, slot, manifest, None),
        }))
    }

    /// Returns the keys that the loader trusts: its own, and those that the key chain leads to.
    pub fn trusts(&self, image: &Image, places: &Places) -> Vec<TrustedKey> {
        let areas = chain_areas(places);
        let look = || {
            let copies = areas.map(|area| image.bytes(area.start, chain::AREA));
            chain::follow(&self.keys, &chain::load([&copies[0], &copies[1]]).links)
        };
        let mut trusted = self.trusted.borrow_mut();
        let known = trusted.entry(areas.map(|area| image.digest_of(area)));
        known.or_insert_with(look).clone()
    }

    /// Verifies a slot's manifest.
    pub fn manifest(&self, image: &Image, places: &Places, slot: Slot) -> Result<VerifiedManifest, Reason> {
        let extent = places.trailer(slot);
        let look = || {
            let area = image.bytes(extent.start, trailer::AREA);
            let expected = Expected {
                keys: &self.trusts(image, places),
                arch: self.arch,
                partition_len: places.slots[slot.index()].len,
            };
            examine(&area, &expected).map_err(|refusal| refusal.reason())
        };
        let chain = chain_areas(places).map(|area| image.digest_of(area));
        let mut manifests = self.manifests.borrow_mut();
        let known = manifests.entry((chain, image.digest_of(extent)));
        known.or_insert_with(look).clone()
    }

    /// Returns true if the slot holds every byte that its manifest covers.
    pub fn is_whole(&self, image: &Image, places: &Places, slot: Slot) -> bool {
        self.manifest(image, places, slot)
            .is_ok_and(|manifest| self.holds(image, places, slot, &manifest, None))
    }

    /// Checks a part by its hash, as the loader does, or everything by the hash tree, as the kernel does.
    fn holds(
        &self,
        image: &Image,
        places: &Places,
        slot: Slot,
        manifest: &VerifiedManifest,
        part: Option<&Part>,
    ) -> bool {
        let extent = places.image(slot);
        let asked = (image.digest_of(extent), manifest.id(), part.map(|part| part.kind));
        let look = || match part {
            Some(part) => {
                let len = usize::try_from(part.size).expect("a part in a test fits into memory");
                Digest::of(&image.bytes(extent.start + part.offset, len)) == part.sha256
            }
            None => check_slot(
                &mut Recorder::new(image.clone()),
                extent.start,
                &manifest.slot,
                |_| {},
            )
            .is_ok(),
        };
        *self.answers.borrow_mut().entry(asked).or_insert_with(look)
    }
}

/// Returns the extents of the copies of the key chain.
fn chain_areas(places: &Places) -> [Extent; 2] {
    chain::OFFSETS.map(|offset| Extent {
        start: places.record.start + offset,
        len: chain::AREA as u64,
    })
}

/// Writes a record as the loader does: the older copy, then a flush.
fn store(medium: &mut Recorder, places: &Places, loaded: &mut Loaded, record: Record) -> io::Result<()> {
    let (at, bytes) = loaded.next(&record);
    medium.write_at(places.record.start + at, &bytes)?;
    medium.sync()?;
    *loaded = loaded.written(record);
    Ok(())
}
