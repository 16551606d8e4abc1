//! Inspects a finished medium as a node would, with the node's parsers.

use std::io::{self, Read, Seek, SeekFrom};

use layout::{Name, Table, TableError};
use machine_config::medium::MediumError;
use manifest::trailer::{self, TrailerError};
use medium::Medium;
use slots::{COPY_OFFSETS, RECORD_LEN, Record};

use crate::plan::{Content, Plan};

/// A fault that a node would find.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The medium cannot be read.
    #[error("cannot read the medium")]
    Io(#[from] io::Error),
    /// The partition table is missing.
    #[error("the partition table cannot be read back")]
    Table(#[from] TableError),
    /// The partition table differs.
    #[error("the partition table is not the one that was written")]
    OtherTable,
    /// The manifest is missing.
    #[error("the manifest cannot be read back")]
    Trailer(#[from] TrailerError),
    /// The manifest differs.
    #[error("the manifest is not the one that was written")]
    OtherManifest,
    /// The slot record is wrong.
    #[error("the slot record is not the one that was written")]
    Record,
    /// The machine config is missing.
    #[error("the machine config cannot be read back")]
    Config(#[from] MediumError),
    /// The machine config differs.
    #[error("the machine config is not the one that was written")]
    OtherConfig,
}

/// Finds the partitions in the table on the medium, and checks each structure in them.
pub(crate) fn inspect(plan: &Plan, medium: &mut dyn Medium) -> Result<u64, Fault> {
    let table = Table::read(&mut Cursor { medium, at: 0 })?;
    if table != plan.table {
        return Err(Fault::OtherTable);
    }
    // Either copy is enough to read the table, so check both.
    let mut bytes = 0;
    for (extent, written) in plan
        .table_extents()
        .into_iter()
        .zip([&plan.images.head, &plan.images.tail])
    {
        let mut there = vec![0; written.len()];
        medium.read_at(extent.start, &mut there)?;
        if there != *written {
            return Err(Fault::OtherTable);
        }
        bytes += extent.len;
    }
    let mut read = |name: Name, offset: u64, len: usize| {
        let extent = table.layout.extent(name);
        let mut out = vec![0; len];
        bytes += len as u64;
        medium.read_at(extent.start + offset, &mut out).map(|()| out)
    };

    let slot = table.layout.extent(Name::SlotA);
    let area = read(Name::SlotA, slot.len - trailer::AREA as u64, trailer::AREA)?;
    trailer::decode(&area)?;
    if !matches!(&plan.trailer.content, Content::Bytes(written) if *written == area) {
        return Err(Fault::OtherManifest);
    }

    let copies = COPY_OFFSETS.map(|offset| read(Name::BootState, offset, RECORD_LEN));
    let [first, second] = copies;
    let loaded = slots::load(&first?, &second?);
    if loaded.record != Some(Record::initial()) {
        return Err(Fault::Record);
    }

    let config = read(Name::Config, 0, machine_config::medium::MAX)?;
    let yaml = machine_config::medium::decode(&config)?;
    if yaml.as_deref() != plan.config.as_ref().map(|config| config.yaml()) {
        return Err(Fault::OtherConfig);
    }
    if yaml.is_some_and(|yaml| machine_config::parse(&yaml).is_err()) {
        return Err(Fault::OtherConfig);
    }
    Ok(bytes)
}

/// A reader over a medium.
struct Cursor<'a> {
    medium: &'a mut dyn Medium,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.medium.len().saturating_sub(self.at);
        let len = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.medium.read_at(self.at, &mut out[..len])?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.medium.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("seek before the start"))?;
        Ok(self.at)
    }
}
