//! What a disk is: its size, how it is attached, and what uses it.

use std::path::PathBuf;

use serde::Serialize;

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The kernel's name of the disk.
    pub name: String,
    /// Its device file.
    #[serde(serialize_with = "crate::lossy_path::serialize")]
    pub path: PathBuf,
    /// Its major and minor number.
    #[serde(skip)]
    pub number: (u64, u64),
    /// The model, by the manufacturer.
    pub model: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The USB port that it is plugged into, such as `1-1.2`: it names the socket, whatever card is in it.
    pub port: Option<String>,
    /// The kernel's sequence number of the medium: another card in the same reader has another one. Kernels before 5.15 have none.
    #[serde(skip)]
    pub sequence: Option<u64>,
    /// The size in bytes; zero when there is no medium in it.
    pub size: u64,
    /// Bytes in a logical sector.
    pub sector: u64,
    /// Set when the medium is removable.
    pub removable: bool,
    /// Set when it is read-only.
    pub read_only: bool,
    /// How it is attached.
    pub bus: Bus,
    /// Its current uses.
    pub uses: Vec<Use>,
}

/// A partition of a disk, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The kernel's name of it.
    pub name: String,
    /// Where it starts, in bytes from the start of the disk.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bus {
    /// USB.
    Usb,
    /// An SD card.
    Sd,
    /// A soldered eMMC.
    Emmc,
    /// NVMe.
    Nvme,
    /// SATA or SCSI.
    Scsi,
    /// A virtual machine's disk.
    Virtio,
    /// A file, or a network disk, that appears as a disk.
    Loop,
    /// Made from other devices: LVM, RAID, encryption.
    Stacked,
    /// Something else.
    Other,
}

/// A use of a disk, or of a device on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Use {
    /// A file system on it is mounted.
    Mounted {
        /// The device that is mounted: the disk, a partition, or a device on top of these.
        device: String,
        /// The mount point.
        at: String,
    },
    /// It is swap space.
    Swap {
        /// The device.
        device: String,
    },
    /// Another device is made from it.
    Held {
        /// The device below.
        device: String,
        /// The device on top.
        by: String,
    },
}
