//! Changing the table of a disk in use: making it fit its medium, repairing it, giving it other GUIDs.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::{Guids, SECTOR, Table, TableError};

impl Table {
    /// Makes DATA end where the medium ends, and both copies of the table and the MBR say so. Returns the table when something had
    /// to be written.
    ///
    /// A power cut at any point is healed by the next call: the backup is written before the primary, and a copy that
    /// was torn is found by reading each without the other's help. `flush` is that of [`write`](Self::write).
    pub fn fit<D: Read + Write + Seek>(
        device: &mut D,
        flush: impl FnMut(&mut D) -> io::Result<()>,
    ) -> Result<Option<Self>, TableError> {
        let now = Self::read(device)?;
        let medium = device.seek(SeekFrom::End(0))?;
        let fitting = now.grown_to(medium)?.unwrap_or(now);
        let good = |copy: &Result<Self, TableError>| copy.as_ref().is_ok_and(|copy| *copy == fitting);
        let copies = Self::read_both(device)?;
        let mut mbr = [0; SECTOR as usize];
        device.seek(SeekFrom::Start(0))?;
        device.read_exact(&mut mbr)?;
        if copies.iter().all(good) && fitting.images()?.head.starts_with(&mbr) {
            return Ok(None);
        }
        fitting.write(device, flush)?;
        Ok(Some(fitting))
    }

    /// Returns the disk and its partitions other GUIDs, in both copies of the table.
    ///
    /// After a power cut at any point the table is found with the old GUIDs or the new ones, and [`fit`](Self::fit) makes
    /// both copies equal. `flush` is that of [`write`](Self::write).
    pub fn rename<D: Read + Write + Seek>(
        device: &mut D,
        guids: Guids,
        flush: impl FnMut(&mut D) -> io::Result<()>,
    ) -> Result<(), TableError> {
        let renamed = Self {
            guids,
            ..Self::read(device)?
        };
        renamed.write(device, flush)
    }
}
