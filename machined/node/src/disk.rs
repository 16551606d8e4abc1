//! Finds the system's disk and its partitions, as the kernel shows them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use layout::Name;
use slots::start_mark::{self, START_MARK_LEN, START_MARK_OFFSET, StartMark};

/// Where the kernel shows its devices, and what tells the system's disk from its copies. A test shows its own.
#[derive(Debug, Clone)]
pub struct Devices {
    /// `/sys/block`.
    pub sys_block: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// The number of the start mark on the system's disk, when the loader saw a copy of it.
    pub start: Option<u64>,
    /// The kernel's sequence number of the system's disk, once it has been found: no other device of this boot has it.
    pub sequence: Option<u64>,
}

impl Default for Devices {
    fn default() -> Self {
        Devices {
            sys_block: "/sys/block".into(),
            dev: "/dev".into(),
            start: None,
            sequence: None,
        }
    }
}

/// Why the system's disk was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The kernel does not show its devices.
    #[error("cannot list the disks in {folder}")]
    List {
        /// Where they are looked for.
        folder: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// One disk is a copy of another, and nothing says which of them the machine was started from.
    #[error(
        "the disks {} have the same GUID {guid}: one is a copy of the other; remove one of them and restart",
        names.join(" and ")
    )]
    Copies {
        /// The GUID that they share.
        guid: String,
        /// The kernel's names of them.
        names: Vec<String>,
    },
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name: `mmcblk0`.
    pub name: String,
    /// The device node.
    pub device: PathBuf,
}

/// One partition, as the kernel knows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name in the partition table.
    pub name: String,
    /// Its number in the partition table.
    pub number: u32,
    /// The device node.
    pub device: PathBuf,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// The kernel counts in these, whatever the disk does.
const SECTOR: u64 = 512;
/// Where drivers show a serial number, below a disk's folder: MMC, NVMe, virtio, SCSI.
const SERIALS: &[&str] = &["device/cid", "device/serial", "serial", "wwid", "device/wwid"];
/// Longer serial numbers are cut.
const LONGEST_SERIAL: usize = 128;

impl Devices {
    /// Finds the system's disk, whose partition table had this GUID (lower case, with hyphens) when the loader ran.
    ///
    /// Once its sequence number is known, that alone counts: the disk may have been given another GUID since. Of several
    /// disks with the GUID the one with the loader's start mark is meant.
    pub fn find(&self, guid: &str) -> Result<Option<Disk>, FindError> {
        let mut found = if let Some(sequence) = self.sequence {
            let mut disks = self.disks()?;
            disks.retain(|disk| self.sequence_of(disk) == Some(sequence));
            disks
        } else {
            let mut disks = self.with_guid(guid)?;
            if let Some(start) = self.start {
                disks.retain(|disk| self.start_mark(disk) == Some(StartMark::Started(start)));
            }
            disks
        };
        if found.len() > 1 {
            return Err(FindError::Copies {
                guid: guid.to_owned(),
                names: found.into_iter().map(|disk| disk.name).collect(),
            });
        }
        Ok(found.pop())
    }

    /// Lists the disks whose partition table has this GUID.
    pub fn with_guid(&self, guid: &str) -> Result<Vec<Disk>, FindError> {
        let mut disks = self.disks()?;
        disks.retain(|disk| self.guid(disk).as_deref() == Some(guid));
        Ok(disks)
    }

    /// Returns the GUID in a disk's partition table; `None` when it has no such table or cannot be read, as a drive without a
    /// medium.
    pub fn guid(&self, disk: &Disk) -> Option<String> {
        File::open(&disk.device).and_then(disk_guid).ok().flatten()
    }

    /// Returns the number that the kernel gives each disk that appears, and never twice in a boot.
    pub fn sequence_of(&self, disk: &Disk) -> Option<u64> {
        let text = fs::read_to_string(self.sys_block.join(&disk.name).join("diskseq")).ok()?;
        text.trim().parse().ok()
    }

    /// Returns what the hardware is called by its maker, so far as it tells: a card's CID, a drive's serial number.
    pub fn serial(&self, disk: &Disk) -> Option<String> {
        let folder = self.sys_block.join(&disk.name);
        SERIALS.iter().find_map(|file| {
            let text = fs::read_to_string(folder.join(file)).ok()?;
            let serial: String = text.trim().chars().take(LONGEST_SERIAL).collect();
            (!serial.is_empty()).then_some(serial)
        })
    }

    fn disks(&self) -> Result<Vec<Disk>, FindError> {
        let names = names(&self.sys_block).map_err(|source| FindError::List {
            folder: self.sys_block.clone(),
            source,
        })?;
        let disk = |name: String| Disk {
            device: self.dev.join(&name),
            name,
        };
        Ok(names.into_iter().map(disk).collect())
    }

    fn start_mark(&self, disk: &Disk) -> Option<StartMark> {
        let bootstate = self.partition(disk, Name::BootState.as_str()).ok().flatten()?;
        let mut bytes = [0; START_MARK_LEN];
        let file = File::open(bootstate.device).ok()?;
        file.read_exact_at(&mut bytes, START_MARK_OFFSET).ok()?;
        start_mark::decode(&bytes)
    }

    /// Asks the loader, on each disk with this GUID, to mark the one that it is started from next. Returns false when that was
    /// asked before, and no loader has answered.
    ///
    /// # Errors
    /// When a disk does not show its BOOTSTATE yet, or cannot be written.
    pub fn ask_for_mark(&self, guid: &str) -> io::Result<bool> {
        let disks = self.with_guid(guid).map_err(io::Error::other)?;
        let marks: Vec<Option<StartMark>> = disks.iter().map(|disk| self.start_mark(disk)).collect();
        if marks.iter().all(|mark| matches!(mark, Some(StartMark::Asked(_)))) {
            return Ok(false);
        }
        let asked = start_mark::encode(StartMark::Asked(start_mark::next(marks)));
        // All of them first: reading them one at a time would distinguish two disks by chance.
        let places = disks.iter().map(|disk| {
            self.partition(disk, Name::BootState.as_str())?
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        });
        for place in places.collect::<io::Result<Vec<Partition>>>()? {
            let file = File::options().write(true).open(place.device)?;
            file.write_all_at(&asked, START_MARK_OFFSET)?;
            file.sync_all()?;
        }
        Ok(true)
    }

    /// Lists the disks that have a GUID partition table, for an error message.
    pub fn seen(&self) -> String {
        let names = names(&self.sys_block).unwrap_or_default();
        let seen = names.iter().filter(|name| !is_virtual(name)).map(|name| {
            let guid = File::open(self.dev.join(name)).and_then(disk_guid);
            format!(
                "{name} ({})",
                guid.ok().flatten().unwrap_or_else(|| "no GPT".to_owned())
            )
        });
        let seen = seen.collect::<Vec<_>>().join(", ");
        if seen.is_empty() {
            "no disk at all".to_owned()
        } else {
            seen
        }
    }

    /// Lists a disk's partitions, in no order.
    pub fn partitions(&self, disk: &Disk) -> io::Result<Vec<Partition>> {
        let folder = self.sys_block.join(&disk.name);
        let mut partitions = Vec::new();
        for name in names(&folder)? {
            let folder = folder.join(&name);
            let Ok(uevent) = fs::read_to_string(folder.join("uevent")) else {
                continue;
            };
            let Some((number, label)) = parse_uevent(&uevent) else {
                continue;
            };
            let sectors = |file: &str| -> io::Result<u64> {
                let text = fs::read_to_string(folder.join(file))?;
                let count: u64 = text.trim().parse().map_err(io::Error::other)?;
                Ok(count.saturating_mul(SECTOR))
            };
            let (start, len) = (sectors("start")?, sectors("size")?);
            partitions.push(Partition {
                name: label,
                number,
                device: self.dev.join(&name),
                start,
                len,
            });
        }
        Ok(partitions)
    }

    /// Finds one partition of a disk by its name in the table.
    pub fn partition(&self, disk: &Disk, name: &str) -> io::Result<Option<Partition>> {
        Ok(self
            .partitions(disk)?
            .into_iter()
            .find(|partition| partition.name == name))
    }
}

/// Devices that are made of others, or of memory, never carry the system.
fn is_virtual(name: &str) -> bool {
    ["loop", "ram", "zram", "dm-"]
        .iter()
        .any(|kind| name.starts_with(kind))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Reads a partition's number and name from its `uevent`. A partition without a name is none of ours.
fn parse_uevent(text: &str) -> Option<(u32, String)> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    Some((value("PARTN")?.parse().ok()?, value("PARTNAME")?.to_owned()))
}

/// Reads the disk GUID from a GUID partition table: from its header at the start, else from the copy at the end.
fn disk_guid(mut disk: impl Read + Seek) -> io::Result<Option<String>> {
    let mut header = [0; 512];
    let end = disk.seek(SeekFrom::End(0))?;
    for at in [SECTOR, end.saturating_sub(SECTOR)] {
        disk.seek(SeekFrom::Start(at))?;
        if disk.read_exact(&mut header).is_ok()
            && let Some(guid) = parse_header(&header)
        {
            return Ok(Some(guid));
        }
    }
    Ok(None)
}

fn parse_header(header: &[u8; 512]) -> Option<String> {
    let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let len = usize::try_from(field(12))
        .ok()
        .filter(|len| (92..=512).contains(len))?;
    let mut bare = header[..len].to_vec();
    bare[16..20].fill(0);
    if !header.starts_with(b"EFI PART") || crc32fast::hash(&bare) != field(16) {
        return None;
    }
    let mut guid = [0; 16];
    guid.copy_from_slice(&header[56..72]);
    Some(uuid::Uuid::from_bytes_le(guid).to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn header(guid: u128) -> [u8; 512] {
        let mut header = [0; 512];
        header[..8].copy_from_slice(b"EFI PART");
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        header[56..72].copy_from_slice(&uuid::Uuid::from_u128(guid).to_bytes_le());
        let crc = crc32fast::hash(&header[..92]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }

    fn shown(disks: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Devices) {
        let root = tempfile::tempdir().unwrap();
        let devices = Devices {
            sys_block: root.path().join("sys"),
            dev: root.path().join("dev"),
            ..Devices::default()
        };
        fs::create_dir_all(&devices.dev).unwrap();
        for (name, bytes) in disks {
            fs::create_dir_all(devices.sys_block.join(name)).unwrap();
            fs::write(devices.dev.join(name), bytes).unwrap();
        }
        (root, devices)
    }

    fn disk_with(guid: u128, at_end: bool) -> Vec<u8> {
        let mut disk = vec![0; 4096];
        let at = if at_end { 4096 - 512 } else { 512 };
        disk[at..at + 512].copy_from_slice(&header(guid));
        disk
    }

    #[test]
    fn finds_its_disk_by_either_header() {
        let disks = [
            ("loop0", vec![]),
            ("sda", disk_with(1, false)),
            ("vda", disk_with(2, true)),
        ];
        let (_root, devices) = shown(&disks);
        let guid = uuid::Uuid::from_u128(2).to_string();
        assert_eq!(devices.find(&guid).unwrap().unwrap().name, "vda");
        assert_eq!(devices.find("something else").unwrap(), None);
        assert_eq!(
            devices.seen(),
            format!("sda ({}), vda ({guid})", uuid::Uuid::from_u128(1))
        );
    }

    /// Shows partition 2 of a disk, BOOTSTATE, with this mark.
    fn show_bootstate(devices: &Devices, disk: &str, mark: Option<u64>) {
        let name = format!("{disk}2");
        let folder = devices.sys_block.join(disk).join(&name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("uevent"), "PARTN=2\nPARTNAME=BOOTSTATE\n").unwrap();
        fs::write(folder.join("start"), "2048\n").unwrap();
        fs::write(folder.join("size"), "2048\n").unwrap();
        let file = File::create(devices.dev.join(&name)).unwrap();
        file.set_len(1024 * 1024).unwrap();
        if let Some(number) = mark {
            let mark = start_mark::encode(StartMark::Started(number));
            file.write_all_at(&mark, START_MARK_OFFSET).unwrap();
        }
    }

    #[test]
    fn of_two_copies_the_one_with_the_mark_is_found_and_without_one_neither() {
        let guid = uuid::Uuid::from_u128(1).to_string();
        let copies = [("sda", disk_with(1, false)), ("vda", disk_with(1, false))];
        let (_root, mut devices) = shown(&copies);
        let error = devices.find(&guid).unwrap_err().to_string();
        assert!(
            error.starts_with("the disks sda and vda have the same GUID") && error.contains("remove one"),
            "{error}"
        );
        devices.start = Some(8);
        assert_eq!(
            devices.find(&guid).unwrap(),
            None,
            "its partitions may still appear"
        );
        for (mark_of_sda, mark_of_vda, found) in [(8, 7, "sda"), (7, 8, "vda")] {
            show_bootstate(&devices, "sda", Some(mark_of_sda));
            show_bootstate(&devices, "vda", Some(mark_of_vda));
            assert_eq!(devices.find(&guid).unwrap().unwrap().name, found);
        }
        show_bootstate(&devices, "sda", Some(8));
        assert!(devices.find(&guid).is_err(), "copied after it was marked");
    }

    #[test]
    fn the_loader_is_asked_once_which_of_two_copies_it_came_from() {
        let guid = uuid::Uuid::from_u128(1).to_string();
        let (_root, mut devices) = shown(&[("sda", disk_with(1, false)), ("vda", disk_with(1, false))]);
        show_bootstate(&devices, "sda", Some(3));
        let error = devices.ask_for_mark(&guid).unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::NotFound,
            "vda does not show its partitions yet"
        );
        show_bootstate(&devices, "vda", None);
        assert!(devices.ask_for_mark(&guid).unwrap());
        let marks = || {
            devices
                .with_guid(&guid)
                .unwrap()
                .iter()
                .map(|disk| devices.start_mark(disk))
                .collect::<Vec<_>>()
        };
        assert_eq!(marks(), [Some(StartMark::Asked(4)); 2]);
        assert!(
            !devices.ask_for_mark(&guid).unwrap(),
            "a loader that does not answer is not asked again"
        );
        // The loader answers on the disk that it came from.
        show_bootstate(&devices, "vda", Some(start_mark::next(marks())));
        devices.start = Some(5);
        assert_eq!(devices.find(&guid).unwrap().unwrap().name, "vda");
    }

    #[test]
    fn a_disk_that_was_found_stays_the_one_whatever_its_guid() {
        let (_root, mut devices) = shown(&[("sda", disk_with(1, false)), ("vda", disk_with(2, false))]);
        for (name, sequence) in [("sda", "4\n"), ("vda", "9\n")] {
            fs::write(devices.sys_block.join(name).join("diskseq"), sequence).unwrap();
        }
        devices.sequence = Some(9);
        let guid = uuid::Uuid::from_u128(1).to_string();
        assert_eq!(devices.find(&guid).unwrap().unwrap().name, "vda");
        devices.sequence = Some(5);
        assert_eq!(devices.find(&guid).unwrap(), None, "it was unplugged");
    }

    #[test]
    fn finds_partitions_by_name() {
        let (_root, devices) = shown(&[("vda", vec![])]);
        let folder = devices.sys_block.join("vda/vda4");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(devices.sys_block.join("vda/queue")).unwrap();
        fs::write(folder.join("uevent"), "DEVNAME=vda4\nPARTN=4\nPARTNAME=SLOT-A\n").unwrap();
        fs::write(folder.join("start"), "2048\n").unwrap();
        fs::write(folder.join("size"), "4096\n").unwrap();
        let disk = Disk {
            name: "vda".into(),
            device: devices.dev.join("vda"),
        };
        let found = devices.partition(&disk, "SLOT-A").unwrap().unwrap();
        let expected = Partition {
            name: "SLOT-A".into(),
            number: 4,
            device: devices.dev.join("vda4"),
            start: 1024 * 1024,
            len: 2 * 1024 * 1024,
        };
        assert_eq!(found, expected);
        assert_eq!(devices.partition(&disk, "SLOT-B").unwrap(), None);
    }

    proptest! {
        #[test]
        fn a_damaged_header_names_no_disk(at in 0usize..92, flip in 1u8..) {
            let mut bytes = header(7);
            bytes[at] ^= flip;
            prop_assert_eq!(parse_header(&bytes), None);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000), text in ".*") {
            let _ = disk_guid(Cursor::new(bytes));
            let _ = parse_uevent(&text);
        }
    }
}
