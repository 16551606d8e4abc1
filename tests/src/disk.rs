//! Disks of emulated machines: files, written by the real flash tool, copied for each scenario, and damaged on purpose.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use layout::{Extent, Name, Table};
use manifest::{Manifest, trailer};
use slots::{COPY_OFFSETS, RECORD_LEN, Record, Slot};

use crate::tools::Tool;

/// A disk in a file.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Names the file, which need not be there yet.
    pub fn at(path: PathBuf) -> Disk {
        Disk { path }
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies it, holes and all: a scenario may do to the copy what it likes.
    pub fn copy_to(&self, path: &Path) -> Result<Disk> {
        Tool::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(&self.path)
            .arg(path)
            .run()?;
        Ok(Disk {
            path: path.to_owned(),
        })
    }

    /// Reads where a partition lies.
    pub fn extent(&self, name: Name) -> Result<Extent> {
        let table = Table::read(&mut self.open()?);
        let table =
            table.with_context(|| format!("{} has no partition table of ours", self.path.display()))?;
        Ok(table.layout.extent(name))
    }

    /// Reads a partition's bytes from an offset in it.
    pub fn read(&self, name: Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(self.extent(name)?.start + offset))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)
            .with_context(|| format!("cannot read {}", name.as_str()))?;
        Ok(bytes)
    }

    /// Writes bytes at an offset in a partition.
    pub fn write(&self, name: Name, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(self.extent(name)?.start + offset))?;
        file.write_all(bytes)
            .with_context(|| format!("cannot write {}", name.as_str()))
    }

    /// Turns over one bit: what a worn flash cell does, and the least that an attacker can.
    pub fn flip_bit(&self, name: Name, offset: u64) -> Result<()> {
        let byte = self.read(name, offset, 1)?[0];
        self.write(name, offset, &[byte ^ 0x10])
    }

    /// Copies the whole of one partition over another of the same size.
    pub fn copy_partition(&self, from: Name, to: Name) -> Result<()> {
        let (from, to) = (self.extent(from)?, self.extent(to)?);
        let mut source = self.open()?;
        source.seek(SeekFrom::Start(from.start))?;
        let mut target = self.open()?;
        target.seek(SeekFrom::Start(to.start))?;
        std::io::copy(&mut source.take(from.len), &mut target)?;
        Ok(())
    }

    /// Writes what slot A of another disk holds into a slot of this one, as an upgrade to it would.
    pub fn install(&self, slot: Slot, from: &Disk) -> Result<()> {
        let size = from.manifest(Slot::A)?.slot.size;
        let image = from.read(Name::SlotA, 0, usize::try_from(size)?)?;
        self.write(partition(slot), 0, &image)?;
        let (json, signatures) = from.trailer(Slot::A)?;
        self.set_trailer(slot, &json, &signatures)
    }

    /// Reads the texts at the end of a slot: the manifest, and its signatures.
    pub fn trailer(&self, slot: Slot) -> Result<(Vec<u8>, Vec<u8>)> {
        let area = self.read(partition(slot), self.trailer_offset(slot)?, trailer::AREA)?;
        let texts = trailer::decode(&area).with_context(|| format!("slot {slot}"))?;
        Ok((texts.json.to_vec(), texts.signatures.to_vec()))
    }

    /// Writes the texts at the end of a slot.
    pub fn set_trailer(&self, slot: Slot, json: &[u8], signatures: &[u8]) -> Result<()> {
        let area = trailer::encode(json, signatures)?;
        self.write(partition(slot), self.trailer_offset(slot)?, &area)
    }

    /// Reads the manifest of a slot, trusting it.
    pub fn manifest(&self, slot: Slot) -> Result<Manifest> {
        Ok(Manifest::parse_unverified(&self.trailer(slot)?.0)?)
    }

    /// Returns the offset of a slot's trailer in its partition.
    pub fn trailer_offset(&self, slot: Slot) -> Result<u64> {
        Ok(self.extent(partition(slot))?.len - trailer::AREA as u64)
    }

    /// Reads the slot record.
    pub fn record(&self) -> Result<Record> {
        let [first, second] = self.record_copies()?;
        slots::load(&first, &second)
            .record
            .context("both copies of the slot record are damaged")
    }

    /// Writes the slot record as the agent would: the older copy, with the next generation.
    pub fn set_record(&self, record: &Record) -> Result<()> {
        let [first, second] = self.record_copies()?;
        let loaded = slots::load(&first, &second);
        let bytes = slots::encode(loaded.generation + 1, record);
        self.write(Name::BootState, COPY_OFFSETS[loaded.write_to], &bytes)
    }

    /// Copies a file out of the ESP.
    pub fn copy_from_esp(&self, file: &str, to: &Path) -> Result<()> {
        let image = format!("{}@@{}", self.path.display(), self.extent(Name::Esp)?.start);
        Tool::new("mcopy")
            .args(["-n", "-o", "-i", &image])
            .arg(format!("::/{file}"))
            .arg(to)
            .run()?;
        Ok(())
    }

    /// Copies a partition's first bytes into a file of its own, for checkers that know no offsets.
    pub fn extract(&self, name: Name, offset: u64, length: u64, to: &Path) -> Result<()> {
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(self.extent(name)?.start + offset))?;
        let mut target = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
        std::io::copy(&mut file.take(length), &mut target)?;
        Ok(())
    }

    fn record_copies(&self) -> Result<[Vec<u8>; 2]> {
        let [first, second] = COPY_OFFSETS.map(|offset| self.read(Name::BootState, offset, RECORD_LEN));
        Ok([first?, second?])
    }

    fn open(&self) -> Result<File> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        file.with_context(|| format!("cannot open {}", self.path.display()))
    }
}

/// Returns the partition that a slot is.
pub fn partition(slot: Slot) -> Name {
    match slot {
        Slot::A => Name::SlotA,
        Slot::B => Name::SlotB,
    }
}
