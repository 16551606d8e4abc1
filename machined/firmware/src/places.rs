//! Where the partition, the release's own files and the memory are.

use std::path::{Path, PathBuf};

use layout::Name;
use node::disk::Devices;

/// What STATE remembers.
const MEMORY: &str = "firmware.json";

/// The paths that this part works on.
#[derive(Debug, Clone)]
pub struct Places {
    /// The ESP: a partition, or a file in a test.
    pub esp: PathBuf,
    /// BOOTSTATE, where the loader is asked to have files tried.
    pub bootstate: PathBuf,
    /// The folder with the list and the files of the release that runs.
    pub release: PathBuf,
    /// What is remembered, on STATE.
    pub memory: PathBuf,
}

impl Places {
    /// Finds the ESP on the disk with this GUID; none when the node has no such disk, or the disk no ESP or BOOTSTATE.
    pub fn find(devices: &Devices, guid: &str, state: &Path) -> Option<Places> {
        let disk = devices.find(guid).ok().flatten()?;
        let partition = |name: Name| devices.partition(&disk, name.as_str()).ok().flatten();
        Some(Places {
            esp: partition(Name::Esp)?.device,
            bootstate: partition(Name::BootState)?.device,
            release: firmware_files::FOLDER.into(),
            memory: state.join(MEMORY),
        })
    }
}
