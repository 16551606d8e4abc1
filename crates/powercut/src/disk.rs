//! A whole disk: what firmware, loader and kernel do with its partition table.

use std::io;

use layout::{SECTOR, TABLE_TAIL, Table};
use manifest::VerifiedManifest;

use crate::{Image, Node, Outcome, Places, Recorder};

/// The outcome of switching a machine with this disk on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// There is no partition table: the firmware finds nothing to start, and reports that.
    NoTable,
    /// The loader ran.
    Loader(Outcome),
    /// The loader started a kernel that cannot find the partitions.
    Blind(Outcome),
}

impl Node {
    /// Switches a machine with this disk on.
    ///
    /// Firmware and loader accept either copy of the table. Linux accepts the second one only when `gpt` is on its command
    /// line, and without it also wants the protective MBR.
    pub fn power_on(&self, disk: &mut Recorder) -> io::Result<Power> {
        let Ok(table) = read_table(disk.image()) else {
            return Ok(Power::NoTable);
        };
        let places = Places::of(&table);
        let outcome = self.boot(disk, &places)?;
        let Outcome::Started(started) = &outcome else {
            return Ok(Power::Loader(outcome));
        };
        let manifest = self.manifest(disk.image(), &places, started.slot);
        let sees = manifest.is_ok_and(|manifest| forced(&manifest)) || first_copy_holds(disk.image());
        Ok(if sees {
            Power::Loader(outcome)
        } else {
            Power::Blind(outcome)
        })
    }
}

/// Reads the table from either copy.
pub fn read_table(image: &Image) -> Result<Table, layout::TableError> {
    Table::read(&mut Recorder::new(image.clone()))
}

fn forced(manifest: &VerifiedManifest) -> bool {
    manifest
        .cmdline
        .split_ascii_whitespace()
        .any(|word| word == "gpt")
}

fn first_copy_holds(image: &Image) -> bool {
    let mbr = image.bytes(0, SECTOR as usize);
    let protective = mbr[446..510]
        .as_chunks::<16>()
        .0
        .iter()
        .any(|entry| entry[4] == 0xee);
    let mut without = image.clone();
    let tail = image.len() / SECTOR * SECTOR - TABLE_TAIL;
    without.write(tail, &[0; TABLE_TAIL as usize]);
    protective && mbr.ends_with(&[0x55, 0xaa]) && read_table(&without).is_ok()
}
