//! Decides which disks may be written to. Pure.

use quantity::human_bytes;
use serde::Serialize;

use crate::host::{Bus, Disk, Use};

/// Larger disks are rarely cards, and often contain somebody's photographs.
const LARGE: u64 = 256_000_000_000;

/// Mount points that a running system needs.
const SYSTEM: [&str; 6] = ["/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/var"];

/// Why a disk must not be written to. These cannot be overridden.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "camelCase", tag = "reason")]
pub enum Refusal {
    /// It is the host's own disk.
    #[error("it carries the running system: {device} is mounted on {at}")]
    System {
        /// The device.
        device: String,
        /// Where it is mounted.
        at: String,
    },
    /// It holds the host's swap space.
    #[error("it carries the running system: {device} is in use as swap (swapoff /dev/{device})")]
    Swap {
        /// The device.
        device: String,
    },
    /// Something on it is mounted.
    #[error("{device} is mounted on {at}: unmount it first (umount {at})")]
    Mounted {
        /// The device.
        device: String,
        /// Where it is mounted.
        at: String,
    },
    /// Another device is made from it.
    #[error("{device} is in use by {by} (LVM, RAID or encryption): take that down first")]
    Held {
        /// The device below.
        device: String,
        /// The device on top.
        by: String,
    },
    /// It is made from other devices.
    #[error("it is made from other devices: name the disk itself")]
    Stacked,
    /// It is read-only.
    #[error("it is read-only: look for a write-protect switch on the card or reader")]
    ReadOnly,
    /// There is no medium.
    #[error("there is no medium in it")]
    Empty,
    /// Its sectors are larger than the partition table's.
    #[error("its sectors have {bytes} bytes, and only sectors of 512 bytes can be booted from")]
    Sectors {
        /// Bytes in a sector.
        bytes: u64,
    },
    /// It is too small.
    #[error("it has {}, and this image needs {}", human_bytes(*.has), human_bytes(*.needed))]
    TooSmall {
        /// Its size.
        has: u64,
        /// The required size.
        needed: u64,
    },
}

/// Why a disk is written to only if the user names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caution {
    /// The reason.
    pub why: String,
    /// What to type: the serial number, or the next best name.
    pub word: String,
}

/// Lists all reasons against a disk; `needed` bytes must fit.
pub fn refusals(disk: &Disk, needed: u64) -> Vec<Refusal> {
    let mut found = disk.uses.iter().map(refusal).collect::<Vec<_>>();
    // The system's own disk first: the other reasons follow from it.
    found.sort_by_key(|refusal| !matches!(refusal, Refusal::System { .. } | Refusal::Swap { .. }));
    if disk.bus == Bus::Stacked {
        found.push(Refusal::Stacked);
    }
    if disk.size == 0 {
        found.push(Refusal::Empty);
    } else if disk.size < needed {
        found.push(Refusal::TooSmall {
            has: disk.size,
            needed,
        });
    }
    if disk.read_only {
        found.push(Refusal::ReadOnly);
    }
    if disk.sector != layout::SECTOR {
        found.push(Refusal::Sectors { bytes: disk.sector });
    }
    found
}

/// Returns why a disk must be named before it is overwritten, if it must.
pub fn caution(disk: &Disk) -> Option<Caution> {
    let portable = disk.removable || matches!(disk.bus, Bus::Usb | Bus::Sd | Bus::Loop);
    let why = if !portable {
        "it is built in, not a card or stick".to_owned()
    } else if disk.size > LARGE {
        format!(
            "it has {}, which is a lot for a card or stick",
            human_bytes(disk.size)
        )
    } else {
        return None;
    };
    let word = disk.serial.as_ref().or(disk.model.as_ref()).unwrap_or(&disk.name);
    Some(Caution {
        why,
        word: word.clone(),
    })
}

fn refusal(used: &Use) -> Refusal {
    match used.clone() {
        Use::Mounted { device, at } if SYSTEM.contains(&at.as_str()) => Refusal::System { device, at },
        Use::Mounted { device, at } => Refusal::Mounted { device, at },
        Use::Swap { device } => Refusal::Swap { device },
        Use::Held { device, by } => Refusal::Held { device, by },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick() -> Disk {
        Disk {
            name: "sdb".into(),
            path: "/dev/sdb".into(),
            number: (8, 16),
            model: Some("Acme Stick".into()),
            serial: Some("4711".into()),
            port: None,
            sequence: None,
            size: 8_000_000_000,
            sector: 512,
            removable: true,
            read_only: false,
            bus: Bus::Usb,
            uses: Vec::new(),
        }
    }

    #[test]
    fn a_stick_is_accepted() {
        assert_eq!(refusals(&stick(), 2_000_000_000), []);
        assert_eq!(caution(&stick()), None);
    }

    #[test]
    fn every_reason_is_given() {
        let (device, at) = ("sdb1".to_owned(), "/mnt".to_owned());
        let disk = Disk {
            size: 1_000_000_000,
            sector: 4096,
            read_only: true,
            uses: vec![
                Use::Held {
                    device: "sdb2".into(),
                    by: "dm-0".into(),
                },
                Use::Mounted {
                    device: device.clone(),
                    at: at.clone(),
                },
                Use::Mounted {
                    device: "dm-0".into(),
                    at: "/".into(),
                },
            ],
            ..stick()
        };
        assert_eq!(
            refusals(&disk, 2_000_000_000),
            [
                Refusal::System {
                    device: "dm-0".into(),
                    at: "/".into()
                },
                Refusal::Held {
                    device: "sdb2".into(),
                    by: "dm-0".into()
                },
                Refusal::Mounted { device, at },
                Refusal::TooSmall {
                    has: 1_000_000_000,
                    needed: 2_000_000_000
                },
                Refusal::ReadOnly,
                Refusal::Sectors { bytes: 4096 },
            ]
        );
    }

    #[test]
    fn built_in_and_large_disks_must_be_named() {
        let word = |disk: Disk| caution(&disk).map(|caution| caution.word);
        assert_eq!(
            word(Disk {
                removable: false,
                bus: Bus::Nvme,
                ..stick()
            })
            .as_deref(),
            Some("4711")
        );
        assert_eq!(
            word(Disk {
                size: LARGE + 1,
                ..stick()
            })
            .as_deref(),
            Some("4711")
        );
        assert_eq!(
            word(Disk {
                removable: false,
                bus: Bus::Emmc,
                serial: None,
                ..stick()
            })
            .as_deref(),
            Some("Acme Stick")
        );
        assert_eq!(
            word(Disk {
                removable: false,
                bus: Bus::Virtio,
                serial: None,
                model: None,
                ..stick()
            })
            .as_deref(),
            Some("sdb")
        );
        assert_eq!(
            word(Disk {
                removable: false,
                bus: Bus::Sd,
                ..stick()
            }),
            None
        );
    }
}
