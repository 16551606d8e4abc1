//! The layout as a GUID partition table.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use gpt::mbr::{PartRecord, ProtectiveMBR};
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{GptConfig, GptDisk, GptError};
use uuid::Uuid;

use crate::window::Window;
use crate::{Extent, Layout, LayoutError, Name, SECTOR};

/// MBR type of a FAT32 partition addressed by sector.
const MBR_FAT32: u8 = 0x0c;

/// The names that tell this disk, and its partitions, from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guids {
    /// The disk's. The loader passes it to the kernel, and the agent finds its disk by it.
    pub disk: Uuid,
    /// The partitions', in order.
    pub partitions: [Uuid; 7],
}

impl Guids {
    /// Derives all GUIDs from a seed: the same seed, the same GUIDs.
    ///
    /// Two disks in one machine must not share a disk GUID; a flasher takes random bytes, and only an image that must
    /// come out the same every time takes fixed ones.
    pub fn from_seed(seed: &[u8]) -> Self {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"disk.bedplate.dev");
        let disk = Uuid::new_v5(&namespace, seed);
        Self {
            disk,
            partitions: Name::ALL.map(|name| Uuid::new_v5(&disk, name.as_str().as_bytes())),
        }
    }
}

/// A Bedplate partition table: what is on a disk, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Where the partitions lie.
    pub layout: Layout,
    /// What they are called.
    pub guids: Guids,
    /// Set when the MBR also shows the ESP, for firmware that reads no GPT (Raspberry Pi 3 and older).
    pub hybrid: bool,
}

/// The bytes of a partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The first [`TABLE_HEAD`](crate::TABLE_HEAD) bytes of the medium.
    pub head: Vec<u8>,
    /// The last [`TABLE_TAIL`](crate::TABLE_TAIL) bytes of the medium, at [`Layout::table_tail`].
    pub tail: Vec<u8>,
}

/// The reason why there is no Bedplate partition table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no GPT, or it is damaged in both copies.
    #[error("the medium has no valid GUID partition table")]
    Gpt(#[from] GptError),
    /// The device fails.
    #[error("cannot read or write the partition table")]
    Io(#[from] io::Error),
    /// There is a GPT, but another system's.
    #[error("partition {number} should be {name}, but is {found}: this is not a Bedplate disk")]
    Foreign {
        /// The partition's number.
        number: u32,
        /// What it should be.
        name: Name,
        /// What is there instead.
        found: String,
    },
    /// The table does not fit the medium.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Table {
    /// Makes the bytes of the table.
    pub fn images(&self) -> Result<Images, TableError> {
        let partitions = self
            .layout
            .partitions()
            .map(|(name, extent)| (name.number(), self.entry(name, extent)))
            .collect::<BTreeMap<_, _>>();
        let mut disk = GptConfig::new()
            .writable(true)
            .create_from_device(Window::new(self.layout.medium()), Some(self.guids.disk))?;
        disk.update_partitions(partitions)?;
        let mut window = disk.write()?;
        window.head[..SECTOR as usize].copy_from_slice(&self.mbr().to_bytes());
        Ok(Images {
            head: window.head,
            tail: window.tail,
        })
    }

    /// Writes the table: the backup, a flush, then the primary.
    ///
    /// In that order a table that is torn by a power cut is found by its other copy. `flush` must not return before the
    /// bytes are on the medium (`sync_data` of a file).
    pub fn write<D: Read + Write + Seek>(
        &self,
        device: &mut D,
        mut flush: impl FnMut(&mut D) -> io::Result<()>,
    ) -> Result<(), TableError> {
        let images = self.images()?;
        device.seek(SeekFrom::Start(self.layout.table_tail().start))?;
        device.write_all(&images.tail)?;
        flush(device)?;
        device.seek(SeekFrom::Start(0))?;
        device.write_all(&images.head)?;
        Ok(flush(device)?)
    }

    /// Reads the table of a Bedplate disk, from either copy.
    pub fn read(device: &mut (impl Read + Seek)) -> Result<Self, TableError> {
        let medium = device.seek(SeekFrom::End(0))?;
        let window = Window::read(device, medium)?;
        let disk = open(window.clone()).or_else(|error| {
            // Crate gpt looks at the backup only when the primary header is bad; its entries may be, too.
            open(window.without_head()).map_err(|_| error)
        })?;
        Self::of(&disk, &window, medium)
    }

    /// Reads both copies, each without the other's help.
    pub(crate) fn read_both(
        device: &mut (impl Read + Seek),
    ) -> Result<[Result<Self, TableError>; 2], TableError> {
        let medium = device.seek(SeekFrom::End(0))?;
        let window = Window::read(device, medium)?;
        let copies = [window.without_tail(), window.without_head()];
        Ok(copies.map(|copy| Self::of(&open(copy)?, &window, medium)))
    }

    /// Takes an open table for that of a Bedplate disk, whose MBR is in `window`.
    fn of(disk: &GptDisk<Window>, window: &Window, medium: u64) -> Result<Self, TableError> {
        let header = disk
            .primary_header()
            .or(disk.backup_header())
            .map_err(GptError::Header)?;
        let entries = window.head[446..510].as_chunks::<16>().0;
        let hybrid = entries.iter().any(|entry| entry[4] == MBR_FAT32);
        let mut extents = [Extent { start: 0, len: 0 }; 7];
        let mut guids = Guids {
            disk: *disk.guid(),
            partitions: [Uuid::nil(); 7],
        };
        for name in Name::ALL {
            let number = name.number();
            let foreign = |found: String| TableError::Foreign { number, name, found };
            let entry = disk
                .partitions()
                .get(&number)
                .ok_or_else(|| foreign("missing".into()))?;
            if entry.name != name.as_str() || entry.part_type_guid.guid.as_u128() != name.type_guid() {
                return Err(foreign(format!(
                    "{:?} of type {}",
                    entry.name, entry.part_type_guid.guid
                )));
            }
            // The loader does not see such a partition, so nothing else may.
            if entry.first_lba < header.first_usable || entry.last_lba > header.last_usable {
                return Err(foreign("outside the sectors for partitions".into()));
            }
            let byte = |sector: u64| {
                sector
                    .checked_mul(SECTOR)
                    .ok_or_else(|| foreign("beyond the medium".into()))
            };
            let start = byte(entry.first_lba)?;
            let end = byte(entry.last_lba.saturating_add(1))?;
            let len = end
                .checked_sub(start)
                .ok_or_else(|| foreign("inside out".into()))?;
            extents[name.index()] = Extent { start, len };
            guids.partitions[name.index()] = entry.part_guid;
        }
        let layout = Layout::from_extents(medium, extents)?.map_err(|name| {
            let there = extents[name.index()];
            let found = format!("{} bytes at byte {}", there.len, there.start);
            TableError::Foreign {
                number: name.number(),
                name,
                found,
            }
        })?;
        Ok(Self {
            layout,
            guids,
            hybrid,
        })
    }

    /// Works out the table for the same disk when it turns out larger, or `None` when nothing changes.
    ///
    /// DATA takes the new room; all else stays, names included. A medium smaller than the table is an error.
    pub fn grown_to(&self, medium: u64) -> Result<Option<Self>, LayoutError> {
        let layout = Layout::for_medium(&self.layout.spec(), medium)?;
        let data = (self.layout.extent(Name::Data), layout.extent(Name::Data));
        if data.1.len < data.0.len {
            return Err(LayoutError::TooSmall {
                needed: self.layout.medium(),
                medium,
            });
        }
        Ok((layout != self.layout).then_some(Self { layout, ..*self }))
    }

    /// Makes one entry.
    fn entry(&self, name: Name, extent: Extent) -> Partition {
        Partition {
            part_type_guid: Type {
                guid: Uuid::from_u128(name.type_guid()),
                os: OperatingSystem::None,
            },
            part_guid: self.guids.partitions[name.index()],
            first_lba: extent.start / SECTOR,
            last_lba: extent.end() / SECTOR - 1,
            flags: 0,
            name: name.as_str().to_owned(),
        }
    }

    /// Makes the MBR: protective, or with the ESP in its first entry.
    fn mbr(&self) -> ProtectiveMBR {
        let sectors = self.layout.medium() / SECTOR;
        let mut mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
        let esp = self.layout.extent(Name::Esp);
        if let (true, Ok(start)) = (self.hybrid, u32::try_from(esp.start / SECTOR)) {
            let fat = PartRecord {
                os_type: MBR_FAT32,
                lb_start: start,
                lb_size: (esp.len / SECTOR) as u32,
                ..PartRecord::new_protective(None)
            };
            // The protective entry stops before the ESP: firmware refuses tables whose entries overlap.
            mbr.set_partition(0, fat);
            mbr.set_partition(1, PartRecord::new_protective(Some(start - 1)));
        }
        mbr
    }
}

/// Reads either copy by its header.
fn open(mut window: Window) -> Result<GptDisk<Window>, TableError> {
    let sector = SECTOR as usize;
    let backup = window.tail.len() - sector;
    for header in [&mut window.head[sector..2 * sector], &mut window.tail[backup..]] {
        let field =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        // Crate gpt panics at entries that are not of 128 bytes. Such a copy is as good as none, and the other may do.
        if field(84) != 128 || field(80) > 128 {
            header.fill(0);
        }
    }
    Ok(GptConfig::new().open_from_device(window)?)
}
