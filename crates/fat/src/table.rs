//! The table: which cluster follows which.

use std::collections::BTreeSet;

use medium::Medium;

use crate::Error;
use crate::boot_sector::Geometry;

/// What marks the last cluster of a chain.
pub(crate) const END: u32 = 0x0fff_ffff;
/// What marks a cluster that must not be used.
const BAD: u32 = 0x0fff_fff7;
/// The upper four bits are not ours.
const NUMBER: u32 = 0x0fff_ffff;
/// The medium writes so many bytes as one.
pub(crate) const SECTOR: usize = 512;

/// The table in memory.
pub(crate) struct Table {
    bytes: Vec<u8>,
    changed: BTreeSet<usize>,
}

impl Table {
    /// Reads the copy that counts.
    pub(crate) fn read(medium: &mut dyn Medium, geometry: &Geometry) -> Result<Table, Error> {
        let len = (geometry.clusters as usize + 2) * 4;
        let mut bytes = vec![0; len.next_multiple_of(SECTOR)];
        medium
            .read_at(geometry.tables[0], &mut bytes)
            .map_err(Error::read)?;
        Ok(Table {
            bytes,
            changed: BTreeSet::new(),
        })
    }

    /// Returns the entry of a cluster, which must be of this volume.
    pub(crate) fn get(&self, cluster: u32) -> u32 {
        self.raw(cluster) & NUMBER
    }

    fn raw(&self, cluster: u32) -> u32 {
        let at = cluster as usize * 4;
        let entry = self.bytes.get(at..at + 4).and_then(|entry| entry.try_into().ok());
        entry.map_or(0, u32::from_le_bytes)
    }

    /// Changes the entry of a cluster in memory.
    pub(crate) fn set(&mut self, cluster: u32, value: u32) {
        let value = self.raw(cluster) & !NUMBER | value & NUMBER;
        let at = cluster as usize * 4;
        if let Some(entry) = self.bytes.get_mut(at..at + 4) {
            entry.copy_from_slice(&value.to_le_bytes());
            self.changed.insert(at / SECTOR);
        }
    }

    /// Returns true if a cluster that no file uses may be used.
    pub(crate) fn is_usable(&self, cluster: u32) -> bool {
        self.get(cluster) != BAD
    }

    /// Follows a chain. Returns its clusters as far as they go, and what is wrong with it.
    pub(crate) fn chain(
        &self,
        geometry: &Geometry,
        first: u32,
        most: usize,
    ) -> (Vec<u32>, Option<&'static str>) {
        let mut clusters = Vec::new();
        let mut cluster = first;
        loop {
            if !geometry.has(cluster) {
                return (clusters, Some("a chain leads outside"));
            }
            if clusters.len() == most {
                // A loop ends here, too.
                return (clusters, Some("a chain is too long"));
            }
            clusters.push(cluster);
            match self.get(cluster) {
                0 => return (clusters, Some("a chain is torn")),
                BAD => return (clusters, Some("a chain has a bad cluster")),
                next if next > BAD => return (clusters, None),
                next => cluster = next,
            }
        }
    }

    /// Marks the sectors in which another copy differs, so that they are written again.
    pub(crate) fn compare_copies(
        &mut self,
        medium: &mut dyn Medium,
        geometry: &Geometry,
    ) -> Result<(), Error> {
        let mut copy = vec![0; self.bytes.len()];
        for table in geometry.tables.iter().skip(1) {
            medium.read_at(*table, &mut copy).map_err(Error::read)?;
            let pairs = self.bytes.chunks(SECTOR).zip(copy.chunks(SECTOR)).enumerate();
            let differing = pairs.filter(|(_, (own, other))| own != other);
            self.changed.extend(differing.map(|(sector, _)| sector));
        }
        Ok(())
    }

    /// Writes the sectors that were changed, to all copies. They may be in a cache afterwards.
    pub(crate) fn write(&mut self, medium: &mut dyn Medium, geometry: &Geometry) -> Result<(), Error> {
        for table in &geometry.tables {
            for sector in &self.changed {
                let at = sector * SECTOR;
                let bytes = &self.bytes[at..at + SECTOR];
                medium.write_at(table + at as u64, bytes).map_err(Error::write)?;
            }
        }
        self.changed.clear();
        Ok(())
    }
}
