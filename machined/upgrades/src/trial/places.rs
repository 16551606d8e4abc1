//! The partitions of slots and records.

use std::path::PathBuf;

use layout::Name;
use node::disk::Devices;
use slots::Slot;

use super::chain_file::ChainFile;
use super::diary_file::DiaryFile;
use super::record::RecordFile;

/// The partitions of the record and the slots.
#[derive(Debug, Clone)]
pub struct Places {
    /// The BOOTSTATE partition.
    pub bootstate: PathBuf,
    /// The slot partitions, A first.
    pub slots: [PathBuf; 2],
}

impl Places {
    /// Finds them on the disk with this GUID.
    pub fn find(devices: &Devices, guid: &str) -> Option<Self> {
        let disk = devices.find(guid).ok().flatten()?;
        let partitions = devices.partitions(&disk).ok()?;
        let device = |name: &str| {
            let found = partitions.iter().find(|partition| partition.name == name);
            found.map(|partition| partition.device.clone())
        };
        let slots = [device(Slot::A.partition())?, device(Slot::B.partition())?];
        Some(Places {
            bootstate: device(Name::BootState.as_str())?,
            slots,
        })
    }

    /// Returns the slot record.
    pub fn record(&self) -> RecordFile {
        RecordFile::new(&self.bootstate)
    }

    /// Returns the key chain.
    pub fn chain(&self) -> ChainFile {
        ChainFile::new(&self.bootstate)
    }

    /// Returns the diary of the system on trial.
    pub fn diary(&self) -> DiaryFile {
        DiaryFile::new(&self.bootstate)
    }
}
