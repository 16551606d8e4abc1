//! A node in memory, and bundles that count what is read from them.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "a helper of tests; each test program uses its part"
)]

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::{ControlFlow, Range};

use manifest::TrustedKey;
use medium::Medium;
use samples::{Ram, Recipe, Release, Signer, noise};
use slots::{Record, Slot, encode};
use upgrade::{Disk, Error, Progress, Report, Slots, Source, install};

pub const SLOT_LEN: usize = 32 << 20;

/// A node on slot A.
#[derive(Clone)]
pub struct Node {
    pub bootstate: Ram,
    pub a: Ram,
    pub b: Ram,
    pub old: Release,
}

impl Node {
    /// A holds `old`, committed; B holds random bytes.
    pub fn on(old: &Release) -> Node {
        let mut bootstate = vec![0; 1 << 20];
        bootstate[..512].copy_from_slice(&encode(1, &Record::initial()));
        Node {
            bootstate: Ram(bootstate),
            a: Ram(old.partition(SLOT_LEN, 0)),
            b: Ram(vec![0xee; SLOT_LEN]),
            old: old.clone(),
        }
    }

    pub fn record(&mut self) -> Record {
        let loaded = upgrade::SlotRecord::new(&mut self.bootstate).read().unwrap();
        loaded.record.unwrap()
    }

    pub fn install(&mut self, source: impl Source, key: TrustedKey) -> Result<Report, Error> {
        self.install_controlled(source, key, &mut |_| ControlFlow::Continue(()))
    }

    pub fn install_controlled(
        &mut self,
        source: impl Source,
        key: TrustedKey,
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let mut release = upgrade::Release::open(source, &[key])?;
        let mut disk = Disk {
            bootstate: &mut self.bootstate,
            slots: Slots {
                running: &mut self.a,
                old: &self.old.manifest,
                target: &mut self.b,
                slot: Slot::B,
            },
        };
        let mut control = |progress| control(progress);
        install(&mut release, &mut disk, &mut control)
    }

    /// Returns true if B holds exactly this release.
    pub fn holds(&self, new: &Release) -> bool {
        let (image, trailer) = (&new.slot, &new.trailer);
        self.b.0[..image.len()] == image[..] && self.b.0[SLOT_LEN - trailer.len()..] == trailer[..]
    }
}

/// A bundle that counts what is read from it.
pub struct Counted {
    pub bundle: Cursor<Vec<u8>>,
    pub read: u64,
    pub expected: Vec<Range<u64>>,
}

impl Counted {
    pub fn new(bundle: &[u8]) -> Counted {
        Counted {
            bundle: Cursor::new(bundle.to_vec()),
            read: 0,
            expected: Vec::new(),
        }
    }
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let came = self.bundle.read(out)?;
        self.read += came as u64;
        Ok(came)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bundle.seek(to)
    }
}

impl Source for Counted {
    fn expect(&mut self, ranges: &[Range<u64>]) {
        self.expected = ranges.to_vec();
    }
}

/// A medium that lost writes, which the kernel's cache still shows.
pub struct Forgetful {
    pub medium: Ram,
    pub cache: Option<Ram>,
}

impl Medium for Forgetful {
    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let shown = self.cache.as_mut().unwrap_or(&mut self.medium);
        shown.read_at(offset, out)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(cache) = &mut self.cache {
            cache.write_at(offset, bytes)?;
        }
        self.medium.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        self.cache = None;
        Ok(())
    }
}

/// A medium with sectors that cannot be read before they are written again, as on failing cards.
pub struct BadSectors {
    pub medium: Ram,
    pub unreadable: Vec<Range<u64>>,
}

impl BadSectors {
    pub fn with<const N: usize>(medium: &Ram, unreadable: [Range<u64>; N]) -> BadSectors {
        BadSectors {
            medium: medium.clone(),
            unreadable: unreadable.to_vec(),
        }
    }
}

impl Medium for BadSectors {
    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        let hit = |bad: &Range<u64>| bad.start < end && offset < bad.end;
        match self.unreadable.iter().any(hit) {
            true => Err(io::Error::other("cannot be read")),
            false => self.medium.read_at(offset, out),
        }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        self.unreadable.retain(|bad| bad.start < offset || end < bad.end);
        self.medium.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A root file system of 9 MiB in which every block is unique.
pub fn root() -> Vec<u8> {
    noise(9 << 20, 42)
}

/// The same with bytes inserted at two places: everything after the second one is shifted within its block.
pub fn changed_root() -> Vec<u8> {
    let mut root = root();
    root[1_000_000..1_000_100].fill(0);
    root.splice(6_000_000..6_000_000, *b"put in");
    root.truncate(9 << 20);
    root
}

/// The same with a whole new file in the middle: everything after it is shifted by whole blocks.
pub fn moved_root() -> Vec<u8> {
    let mut root = root();
    root.splice(3 << 20..3 << 20, noise(100 * 4096, 7));
    root
}

pub fn release(version: &str, root: Vec<u8>, signer: &Signer) -> Release {
    Recipe::new(version, root).build(signer)
}
