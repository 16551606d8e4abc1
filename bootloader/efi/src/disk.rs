//! The disk that we were started from.
#![expect(unsafe_code)]
// UNSAFETY: opens Block I/O without taking it from the file system driver that our own partition is mounted by.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use gpt_disk_io::BlockIo;
use gpt_disk_io::gpt_disk_types::{BlockSize, Guid, Lba};
use slots::Slot;
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol};
use uefi::proto::device_path::media::PartitionSignature;
use uefi::proto::device_path::{DevicePath, DevicePathNodeEnum};
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::block::BlockIO;
use uefi::{Handle, Status};

use crate::gpt::{Partition, Table};
use crate::pages::Pages;

/// The most that is requested of a driver at once: some copy through a buffer of their own.
const CHUNK: usize = 1 << 20;

/// Block access to a whole disk.
pub struct Disk {
    io: ScopedProtocol<BlockIO>,
    block_size: BlockSize,
}

/// Why a disk cannot be used.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum DiskFault {
    /// A call to the firmware failed.
    #[error("firmware says {0}")]
    Firmware(Status),
    /// The block size is not supported.
    #[error("impossible block size")]
    BlockSize,
    /// No disk contains the partition that we were started from, nor a Bedplate disk's partitions.
    #[error("none of {seen} disks has partitions SLOT-A and SLOT-B")]
    NotFound {
        /// The number of disks that were checked.
        seen: usize,
    },
    /// The range is outside the disk, or is not whole blocks.
    #[error("impossible range")]
    Range,
    /// The firmware claims success, but the old bytes are still there.
    #[error("it was written, but is not there")]
    Lost,
    /// There is no partition for the loader's data.
    #[error("the disk has no partition BOOTSTATE")]
    NoBootstate,
}

impl From<uefi::Error> for DiskFault {
    fn from(error: uefi::Error) -> DiskFault {
        DiskFault::Firmware(error.status())
    }
}

/// The disk that we were started from.
pub struct Own {
    /// The disk.
    pub disk: Disk,
    /// Its partitions.
    pub table: Table,
    /// Other disks with the same GUID: one is a copy of the other.
    pub twins: Vec<(Disk, Table)>,
}

/// Finds the disk that we were started from, and reads its table.
///
/// It is the disk whose GPT lists the partition in our device path. Of two such disks (one is a copy), the one that our
/// device path leads through is used. If the firmware names no GPT partition (it may have used a hybrid MBR), it is the
/// disk that the path leads through, or else the first with our layout.
pub fn own() -> Result<Own, DiskFault> {
    let origin = Origin::find();
    let (mut seen, mut ours) = (0, Vec::new());
    for handle in boot::find_handles::<BlockIO>()? {
        // A broken disk elsewhere is no reason not to boot from this one.
        let Ok(Some(mut disk)) = Disk::open(handle) else {
            continue;
        };
        let Ok(table) = Table::read(&mut disk) else {
            continue;
        };
        seen += 1;
        let rank = origin.rank(handle, &table);
        if rank > 0 {
            ours.push((rank, disk, table));
        }
    }
    // The sort is stable: of equal ranks the first is used.
    ours.sort_by_key(|(rank, ..)| Reverse(*rank));
    let mut ours = ours.into_iter().map(|(_, disk, table)| (disk, table));
    let (disk, table) = ours.next().ok_or(DiskFault::NotFound { seen })?;
    let twins = ours.filter(|(_, other)| other.disk == table.disk).collect();
    Ok(Own { disk, table, twins })
}

/// What the firmware says about our origin.
struct Origin {
    device: Option<ScopedProtocol<DevicePath>>,
    partition: Option<Guid>,
}

impl Origin {
    fn find() -> Origin {
        let device = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle())
            .ok()
            .and_then(|image| image.device())
            .and_then(|handle| get::<DevicePath>(handle).ok());
        let partition = device.as_ref().and_then(|path| {
            path.node_iter().find_map(|node| match node.as_enum() {
                Ok(DevicePathNodeEnum::MediaHardDrive(drive)) => match drive.partition_signature() {
                    PartitionSignature::Guid(guid) => Some(guid),
                    _ => None,
                },
                _ => None,
            })
        });
        Origin { device, partition }
    }

    /// Rates how likely a disk is ours; 0 if it is not.
    fn rank(&self, handle: Handle, table: &Table) -> u8 {
        // Without BOOTSTATE a node still boots what it can verify.
        let ours = Slot::ALL
            .iter()
            .all(|slot| table.named(slot.partition()).is_some());
        let listed = self
            .partition
            .map(|guid| table.partitions.iter().any(|partition| partition.guid == guid));
        match (ours, listed) {
            (false, _) | (_, Some(false)) => 0,
            _ if self.leads_through(handle) => 3,
            (true, Some(true)) => 2,
            (true, None) => 1,
        }
    }

    fn leads_through(&self, disk: Handle) -> bool {
        let (Some(ours), Ok(disk)) = (&self.device, get::<DevicePath>(disk)) else {
            return false;
        };
        let mut ours = ours.node_iter();
        disk.node_iter().all(|node| ours.next() == Some(node))
    }
}

impl Disk {
    /// Opens a handle; `None` when it is a partition, or a drive without a medium.
    fn open(handle: Handle) -> Result<Option<Disk>, DiskFault> {
        let io = get::<BlockIO>(handle)?;
        let media = io.media();
        if media.is_logical_partition() || !media.is_media_present() {
            return Ok(None);
        }
        let block_size = BlockSize::new(media.block_size()).ok_or(DiskFault::BlockSize)?;
        Ok(Some(Disk { io, block_size }))
    }

    /// Rounds a length up to whole blocks.
    pub fn whole_blocks(&self, len: usize) -> usize {
        len.next_multiple_of(self.block_size.to_u32() as usize)
    }

    /// Reads whole blocks of a partition; `at` and the length must be multiples of the block size.
    pub fn read(&mut self, partition: &Partition, at: u64, buffer: &mut [u8]) -> Result<(), DiskFault> {
        let lba = self.locate(partition, at, buffer.len())?;
        Ok(self.read_blocks(lba, buffer)?)
    }

    /// Writes whole blocks of a partition, and flushes.
    pub fn write(&mut self, partition: &Partition, at: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let lba = self.locate(partition, at, bytes.len())?;
        self.write_blocks(lba, bytes)?;
        Ok(self.flush()?)
    }

    fn locate(&self, partition: &Partition, at: u64, len: usize) -> Result<Lba, DiskFault> {
        let block = self.block_size.to_u64();
        let end = at.checked_add(len as u64).filter(|&end| end <= partition.len);
        let start = partition
            .offset
            .checked_add(at)
            .filter(|start| start.is_multiple_of(block));
        match (start, end) {
            (Some(start), Some(_)) if (len as u64).is_multiple_of(block) => Ok(Lba(start / block)),
            _ => Err(DiskFault::Range),
        }
    }
}

/// Whole blocks, in any memory: what is not aligned for the device is copied through a page.
impl BlockIo for Disk {
    type Error = Failed;

    fn block_size(&self) -> BlockSize {
        self.block_size
    }

    fn num_blocks(&mut self) -> Result<u64, Failed> {
        Ok(self.io.media().last_block().saturating_add(1))
    }

    fn read_blocks(&mut self, start: Lba, buffer: &mut [u8]) -> Result<(), Failed> {
        let media = self.io.media().media_id();
        let mut lba = start.0;
        if self.aligned(buffer.as_ptr()) {
            for chunk in buffer.chunks_mut(CHUNK) {
                self.io.read_blocks(media, lba, chunk)?;
                lba += chunk.len() as u64 / self.block_size.to_u64();
            }
            return Ok(());
        }
        let mut page = Pages::new(buffer.len())?;
        self.io.read_blocks(media, lba, &mut page[..buffer.len()])?;
        buffer.copy_from_slice(&page[..buffer.len()]);
        Ok(())
    }

    fn write_blocks(&mut self, start: Lba, bytes: &[u8]) -> Result<(), Failed> {
        let media = self.io.media().media_id();
        let mut page = Pages::new(bytes.len())?;
        page[..bytes.len()].copy_from_slice(bytes);
        Ok(self.io.write_blocks(media, start.0, &page[..bytes.len()])?)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(self.io.flush_blocks()?)
    }
}

impl Disk {
    fn aligned(&self, start: *const u8) -> bool {
        // 0 and 1 both mean that any address is allowed.
        start
            .addr()
            .is_multiple_of((self.io.media().io_align() as usize).max(1))
    }
}

impl BlockIo for &mut Disk {
    type Error = Failed;

    fn block_size(&self) -> BlockSize {
        self.block_size
    }

    fn num_blocks(&mut self) -> Result<u64, Failed> {
        (**self).num_blocks()
    }

    fn read_blocks(&mut self, start: Lba, buffer: &mut [u8]) -> Result<(), Failed> {
        (**self).read_blocks(start, buffer)
    }

    fn write_blocks(&mut self, start: Lba, bytes: &[u8]) -> Result<(), Failed> {
        (**self).write_blocks(start, bytes)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        (**self).flush()
    }
}

/// A transfer that the firmware failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed(Status);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "firmware says {}", self.0)
    }
}

impl From<uefi::Error> for Failed {
    fn from(error: uefi::Error) -> Failed {
        Failed(error.status())
    }
}

impl From<Failed> for DiskFault {
    fn from(Failed(status): Failed) -> DiskFault {
        DiskFault::Firmware(status)
    }
}

fn get<P: uefi::proto::ProtocolPointer + ?Sized>(handle: Handle) -> uefi::Result<ScopedProtocol<P>> {
    let params = OpenProtocolParams {
        handle,
        agent: boot::image_handle(),
        controller: None,
    };
    // SAFETY: disks do not go away while we run: we neither disconnect drivers nor call anything that does. Exclusive
    // access would unmount the very partition we came from.
    unsafe { boot::open_protocol(params, OpenProtocolAttributes::GetProtocol) }
}
